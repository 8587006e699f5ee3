/** setTimeout() takes no more. */
const longestTimer = 2 ** 31 - 1;

export interface Deadline {
  stop(): void;
}

/** Calls back once when `timeout` milliseconds have passed, never before and however many they are. */
export function startDeadline(timeout: number, onPassed: () => void): Deadline {
  const end = performance.now() + timeout;
  let timer: NodeJS.Timeout | undefined;
  const arm = (): void => {
    const remaining = end - performance.now();
    if (remaining <= 0) onPassed();
    else timer = setTimeout(arm, Math.min(Math.ceil(remaining), longestTimer));
  };
  if (timeout !== Infinity) timer = setTimeout(arm, Math.min(timeout, longestTimer));
  return {
    stop: () => {
      clearTimeout(timer);
    },
  };
}
