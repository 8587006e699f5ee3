import { once } from 'node:events';

/** Waits for the line with which all competitors are started at once. */
export async function awaitStart() {
  console.log('ready');
  await once(process.stdin, 'data');
  process.stdin.pause();
  process.stdin.unref();
}
