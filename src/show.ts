/** A value as the messages of TypeErrors show it: bounded, and without calling anything of the value's own. */
const longestShown = 200;

export function show(value: unknown): string {
  if (typeof value === 'string') return shorten(JSON.stringify(value.slice(0, longestShown + 1)));
  if (typeof value === 'bigint') return shorten(String(value));
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'symbol') return shorten(String(value));
  if (value === null || typeof value !== 'object') return String(value);
  try {
    if (Array.isArray(value)) return 'an array';
    const { constructor } = value as { constructor?: { name?: unknown } };
    const name: unknown = constructor?.name;
    return typeof name === 'string' ? shorten(`an instance of ${name}`) : 'an object';
  } catch {
    // A getter or a revoked proxy.
    return 'an object';
  }
}

function shorten(text: string): string {
  return text.length > longestShown ? `${text.slice(0, longestShown)}…` : text;
}
