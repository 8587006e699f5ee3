// J. Lines of a job's log, beside a write-file-atomic for each line, and the job in a file that is written anew with every line.
import { mkdirSync, rmSync } from 'node:fs';
import { inTurn, toTable } from '../measure.mjs';
import { inNode, run } from '../processes.mjs';

export const title = 'JobStore.appendLog';

export const forEachLine = 'write-file-atomic, once for each line';
/** It never flushes. */
const rewritten = 'lowdb, the whole job for each line';
const candidateOf = {
  [forEachLine]: 'write-file-atomic',
  [rewritten]: 'lowdb',
  holdfast: 'holdfast',
};

export async function measure({ rounds, span, places, has, directoryIn, quick }) {
  const [place] = places;
  const columns = { '1 caller': 1, [quick ? '10 callers' : '100 callers']: quick ? 10 : 100 };
  const tables = [];
  for (const durability of ['file', 'none']) {
    const names = ['holdfast', forEachLine, ...(durability === 'none' ? [rewritten] : [])].filter(
      (name) => has(candidateOf[name]),
    );
    const measured = await inTurn(names, rounds, async (name) => {
      const result = {};
      for (const [column, callers] of Object.entries(columns)) {
        const directory = directoryIn(place, 'j');
        rmSync(directory, { recursive: true });
        mkdirSync(directory);
        const request = {
          candidate: candidateOf[name],
          directory,
          durability,
          callers,
          span: 2 * span,
        };
        const { count, nanoseconds } = await run(inNode('jobs', request));
        result[column] = (count / nanoseconds) * 1e9;
      }
      return result;
    });
    tables.push(
      toTable(
        {
          id: `jobs-${durability}`,
          title: `lines of one job's log, ${place}, ${durability === 'none' ? 'no flush' : 'flushed'}`,
          unit: 'lines/s',
          better: 'higher',
          reference: forEachLine,
          columns: Object.keys(columns),
          valueOf: (sample, column) => sample[column],
        },
        measured,
      ),
    );
  }
  return { tables, notes: [] };
}
