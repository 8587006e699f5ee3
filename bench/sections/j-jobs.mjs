// J. Lines of a job's log, beside a write-file-atomic for each line. bench/job-store.mjs has more of it.
import { mkdirSync, rmSync } from 'node:fs';
import { inTurn, toTable } from '../measure.mjs';
import { inNode, run } from '../processes.mjs';

export const title = 'JobStore.appendLog';

export const forEachLine = 'write-file-atomic, once for each line';

export async function measure({ rounds, span, places, has, directoryIn, quick }) {
  const [place] = places;
  const columns = { '1 caller': 1, [quick ? '10 callers' : '100 callers']: quick ? 10 : 100 };
  const names = ['holdfast', ...(has('write-file-atomic') ? [forEachLine] : [])];
  const tables = [];
  for (const durability of ['file', 'none']) {
    const measured = await inTurn(names, rounds, async (name) => {
      const result = {};
      for (const [column, callers] of Object.entries(columns)) {
        const directory = directoryIn(place, 'j');
        rmSync(directory, { recursive: true });
        mkdirSync(directory);
        const candidate = name === 'holdfast' ? 'holdfast' : 'write-file-atomic';
        const request = { candidate, directory, durability, callers, span: 2 * span };
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
