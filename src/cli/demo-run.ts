import { withLock } from '../index.js';
import type { WaitInfo } from '../index.js';
import { runCrew } from './demo-crew.js';
import type { CrewEvents, CrewPlan } from './demo-crew.js';
import {
  counterField,
  counterOf,
  otherFields,
  readDocument,
  replaceDocument,
  startValueOf,
} from './demo-file.js';
import type { Document } from './demo-file.js';
import { Reader } from './demo-reader.js';
import {
  formatNumber,
  isSound,
  renderPlan,
  renderProgress,
  renderTable,
  renderVerdict,
} from './demo-report.js';
import type { Tally } from './demo-report.js';
import { StatusLine } from './terminal.js';

/** Carries the demo out on a file, prints what happens, and hands back the exit code. */
export async function runDemo(plan: CrewPlan, signal: AbortSignal): Promise<number> {
  const output = process.stdout;
  const status = new StatusLine(output);
  try {
    const document = await prepare(plan, status, signal);
    const otherCount = Object.keys(document).length - 1;
    for (const line of renderPlan(plan, startValueOf(document), otherCount)) status.print(line);

    const tally = await work(plan, document, status, signal);
    status.print(`\n${renderTable(tally, output).join('\n')}\n\n${renderVerdict(tally)}`);
    return isSound(tally) ? 0 : 1;
  } finally {
    status.clear();
  }
}

/** Sees to it that the file has a counter. */
async function prepare(
  { file, locked }: CrewPlan,
  status: StatusLine,
  signal: AbortSignal,
): Promise<Document> {
  const addCounter = async (): Promise<Document> => {
    const document = await readDocument(file);
    document[counterField] = startValueOf(document);
    await replaceDocument(file, document);
    return document;
  };
  // A file that cannot be used gets no lock file either.
  startValueOf(await readDocument(file));
  if (!locked) return addCounter();
  const onWait = ({ message }: WaitInfo): void => {
    status.update(() => message);
  };
  return withLock(file, { signal, onWait }, addCounter);
}

async function work(
  plan: CrewPlan,
  document: Document,
  status: StatusLine,
  signal: AbortSignal,
): Promise<Tally> {
  const { file, processes, rounds, locked } = plan;
  const startedAt = performance.now();
  const reader = new Reader(file);
  let acknowledged = 0;
  let longestWaitMs = 0;
  const showProgress = (): void => {
    status.update(() => renderProgress(acknowledged, processes * rounds, reader));
  };
  const events: CrewEvents = {
    onRound({ waitedMs }) {
      acknowledged++;
      longestWaitMs = Math.max(longestWaitMs, waitedMs);
      showProgress();
    },
    onKill(pid) {
      const where = locked
        ? 'holds the lock and has written half of the new contents'
        : 'has written half of the new contents';
      status.print(`pid ${pid} ${where}: killing it with SIGKILL.`);
    },
    onReplacement(pid, count) {
      status.print(`pid ${pid} does the rest of its work (${formatNumber(count)}).`);
    },
  };
  // Beside onRound, for a lock that nobody gets.
  const ticker = setInterval(showProgress, 100);
  try {
    const takeOver = await runCrew(plan, events, signal);
    await reader.stop();
    const last = await readDocument(file);
    return {
      acknowledged,
      found: (counterOf(last) ?? 0) - startValueOf(document),
      reads: reader.reads,
      tornReads: reader.tornReads,
      longestWaitMs,
      elapsedMs: performance.now() - startedAt,
      takeOver,
      locked,
      othersKept: otherFields(last) === otherFields(document),
    };
  } finally {
    clearInterval(ticker);
    await reader.stop().catch(() => undefined);
  }
}
