import { setTimeout as sleep } from 'node:timers/promises';

import { withLock } from '../index.js';
import {
  counterField,
  counterOf,
  readDocument,
  replaceDocument,
  stayInReplace,
} from './demo-file.js';
import { monotonicNow } from './demo-protocol.js';
import type { Round, WriterMessage, WriterPlan } from './demo-protocol.js';

/** Between reading and writing, in milliseconds: a program that does not have its answer ready. */
const thinkingTime = 1;

// Left alone, we would go on writing for nobody. A terminal's SIGINT reaches us too, but our parent decides.
process.on('disconnect', leaveAtOnce);
process.on('SIGINT', () => undefined);
void main(JSON.parse(process.argv[2] ?? '') as WriterPlan);

async function main(plan: WriterPlan): Promise<void> {
  try {
    const go = new Promise((resolve) => process.once('message', resolve));
    await send({ name: 'ready' });
    await go;
    for (let round = 0; round < plan.rounds; round++) {
      await send({ name: 'done', ...(await writeOnce(plan, round)) });
    }
    process.off('disconnect', leaveAtOnce);
  } catch (error) {
    await send({ name: 'failed', message: (error as Error).message });
  }
  process.disconnect();
}

function leaveAtOnce(): void {
  process.exit(1);
}

async function writeOnce(plan: WriterPlan, round: number): Promise<Round> {
  const askedAt = monotonicNow();
  const work = async (previousPid: number | null): Promise<Round> => {
    const grantedAt = monotonicNow();
    await increment(plan.file, round === plan.stayInRound);
    return { waitedMs: grantedAt - askedAt, grantedAt, previousPid };
  };
  if (!plan.locked) return work(null);
  return withLock(plan.file, (lock) => work(lock.previousHolder?.pid ?? null));
}

async function increment(file: string, stay: boolean): Promise<void> {
  const document = await readDocument(file);
  await sleep(thinkingTime);
  document[counterField] = (counterOf(document) ?? 0) + 1;
  if (stay) await stayInReplace(file, document, () => send({ name: 'inside' }));
  await replaceDocument(file, document);
}

/** Resolves when the message is in the channel, from where even our death does not take it back. */
function send(message: WriterMessage): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send?.(message, undefined, undefined, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}
