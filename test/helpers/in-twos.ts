/** Lets `use` have a go at every item, two at a time. */
export async function inTwos<T>(
  items: readonly T[],
  use: (item: T) => Promise<void>,
): Promise<void> {
  const rest = items.values();
  const work = async (): Promise<void> => {
    for (const item of rest) await use(item);
  };
  await Promise.all([work(), work()]);
}
