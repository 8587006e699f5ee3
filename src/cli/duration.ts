const millisecondsIn = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

/** Reads `500ms`, `5s`, `2m`, `1h` or a bare number of seconds as milliseconds; null if it is none of these. */
export function parseDuration(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text);
  if (!match) return null;
  const unit = (match[2] ?? 's') as keyof typeof millisecondsIn;
  const milliseconds = Math.round(Number(match[1]) * millisecondsIn[unit]);
  return Number.isSafeInteger(milliseconds) ? milliseconds : null;
}

/** Says a duration in milliseconds the way people do: `0.4 ms`, `41 ms`, `2.9 s`, `3 min 20 s`, `5 h 10 min`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 9.95) return `${milliseconds.toFixed(1)} ms`;
  if (milliseconds < 999.5) return `${milliseconds.toFixed(0)} ms`;
  if (milliseconds < 59_950) return `${(milliseconds / 1000).toFixed(1)} s`;
  const seconds = Math.round(milliseconds / 1000);
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${String(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60)} min`;
}
