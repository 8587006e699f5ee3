import { availableParallelism } from 'node:os';

/**
 * Runs `work(job, index)` for all jobs, as many at a time as there are processors. Resolves to what it came to, in
 * order, or rejects with every failure.
 */
export async function inParallel(jobs, work) {
  const queue = [...jobs.entries()];
  const results = [];
  const failures = [];
  const worker = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [index, job] = next;
      try {
        results[index] = await work(job, index);
      } catch (error) {
        failures.push(error.message);
      }
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  if (failures.length > 0) throw new Error(failures.join('\n'));
  return results;
}
