import { readdirSync } from 'node:fs';
import path from 'node:path';

import type { JobFields, JobWithLogs } from 'holdfast';
import { describe, expect, test, vi } from 'vitest';

import { has } from './helpers/capabilities.js';
import { withChildren } from './helpers/child.js';
import type { Child } from './helpers/child.js';
import { expressExample } from './helpers/paths.js';
import { withTemporaryDirectory } from './helpers/temporary-directory.js';

// Servers take long to start on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

// examples/express-jobs over loopback: two servers, which share a directory and nothing else.

interface Job extends JobFields {
  result?: { file: string };
}
type Seen = JobWithLogs<Job>;

interface Server {
  url: string;
  child: Child;
  post(where: string, body?: unknown): Promise<{ status: number; body: unknown }>;
  get(where: string): Promise<{ status: number; body: unknown }>;
  /** What the server sends about a job, from the line on that comes after the first `lines`, until it ends or `until` is true. */
  watch(id: string, until?: (job: Seen) => boolean, lines?: number): Promise<Seen[]>;
}

function serverAt(url: string, child: Child): Server {
  const request = async (method: string, where: string, body?: unknown) => {
    const response = await fetch(`${url}${where}`, {
      method,
      ...(body === undefined
        ? {}
        : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    return { status: response.status, body: await response.json() };
  };
  return {
    ...{ url, child },
    post: (where, body) => request('POST', where, body),
    get: (where) => request('GET', where),
    watch: async (id, until = () => false, lines = 0) => {
      const stop = new AbortController();
      const response = await fetch(`${url}/jobs/${encodeURIComponent(id)}/progress`, {
        headers: { 'last-event-id': `${lines}` },
        signal: stop.signal,
      });
      expect(response.headers.get('content-type')).toBe('text/event-stream');
      const jobs: Seen[] = [];
      const decoder = new TextDecoder();
      let text = '';
      for await (const chunk of response.body ?? []) {
        text += decoder.decode(chunk as Uint8Array, { stream: true });
        const events = text.split('\n\n');
        text = events.pop() ?? '';
        for (const event of events) {
          const [, number, data = ''] = /^id: (\d+)\ndata: (.*)$/.exec(event) ?? [];
          const job = JSON.parse(data) as Seen;
          expect(job.log_lines).toBe(Number(number));
          jobs.push(job);
        }
        if (jobs.some(until)) break; // and closes the connection
      }
      stop.abort();
      return jobs;
    },
  };
}

async function withServers(
  use: (one: Server, other: Server, directory: string) => Promise<void>,
): Promise<void> {
  await withTemporaryDirectory((parent) =>
    withChildren(async (children) => {
      const directory = path.join(parent, 'jobs');
      const start = async (): Promise<Server> => {
        const child = children.spawnNode(['server.mjs'], {
          cwd: expressExample,
          env: { JOBS_DIRECTORY: directory, PORT: '0', PAGE_MS: '5' },
        });
        const [url] = await child.waitForOutput(/http:\/\/\S+/);
        return serverAt(url, child);
      };
      const [one, other] = await Promise.all([start(), start()]);
      await use(one, other, directory);
      for (const { child } of [one, other]) expect(child.stderr).toBe('');
      expect(readdirSync(parent)).toEqual(['jobs']);
    }),
  );
}

const linesOf = (jobs: readonly Seen[]): string[] => jobs.flatMap(({ logs }) => logs);
const pages = (from: number, to: number, of = to): string[] =>
  Array.from({ length: to - from + 1 }, (_, at) => `page ${from + at} of ${of}`);

describe.runIf(has('expressExample'))('the server of the example', () => {
  test('starts a job, of which another server tells all there is, bit by bit', () =>
    withServers(async (one, other) => {
      expect(await other.get('/jobs/report')).toMatchObject({ status: 404 });
      expect(await one.post('/jobs/report', { pages: 8 })).toMatchObject({
        ...{ status: 202, body: { status: 'processing', pages: 8, revision: 1 } },
      });
      expect(await other.post('/jobs/report', { pages: 9 })).toMatchObject({ status: 409 });

      const seen = await other.watch('report');
      expect(linesOf(seen)).toEqual(['asked for 8 pages', ...pages(1, 8), 'completed']);
      for (const { status, result } of seen)
        expect(status === 'completed').toBe(result !== undefined);
      expect(seen.at(-1)).toMatchObject({ progress_pct: 100, result: { file: '8.pdf' } });
      const job = await one.get('/jobs/report');
      expect(job).toMatchObject({ status: 200, body: { status: 'completed', revision: 10 } });
      expect((job.body as Seen).logs).toEqual(linesOf(seen));

      // One who comes back gets what is new.
      const again = await one.watch('report', undefined, 7);
      expect(linesOf(again)).toEqual(['page 7 of 8', 'page 8 of 8', 'completed']);
    }));

  test('cancels a job that another server works on, and nothing comes after that', () =>
    withServers(async (one, other) => {
      await one.post('/jobs/long', { pages: 12 });
      await one.post('/jobs/longer', { pages: 100_000 });
      const watching = other.watch('longer');
      await other.watch('longer', ({ logs }) => logs.includes('page 3 of 100000'));
      expect(await other.post('/jobs/longer/cancel')).toMatchObject({
        ...{ status: 200, body: { status: 'cancelled' } },
      });
      const lines = linesOf(await watching);
      expect(lines).toEqual([
        'asked for 100000 pages',
        ...pages(1, lines.length - 2, 100_000),
        'cancelled',
      ]);
      expect(await one.post('/jobs/longer/cancel')).toMatchObject({ status: 409 });
      expect(await one.post('/jobs/shorter/cancel')).toMatchObject({ status: 404 });
      // The other job was let alone, and by now the worker of this one must have seen that it is over.
      await one.watch('long');
      expect((await one.get('/jobs/longer')).body).toMatchObject({ logs: lines });
    }));

  test('tries a failed job again, once however often that is asked for', () =>
    withServers(async (one, other) => {
      await one.post('/jobs/unlucky', { pages: 14 });
      const failed = (await other.watch('unlucky')).at(-1);
      expect(failed).toMatchObject({ status: 'failed', failures: 1 });
      expect(failed?.logs.at(-1)).toBe('page 13 has failed');
      const presses = await Promise.all(
        [one, other, one].map((server) => server.post('/jobs/unlucky/retry')),
      );
      expect(presses.map(({ status }) => status).sort()).toEqual([200, 409, 409]);
      const seen = await one.watch('unlucky');
      expect(linesOf(seen).slice(-16)).toEqual(['tried again', ...pages(1, 14), 'completed']);
    }));

  test('believes nothing that it is told: ids, numbers, positions', () =>
    withServers(async (one) => {
      const ids = ['../../etc/passwd', 'CON', 'a\nb'];
      for (const id of ids) {
        const where = `/jobs/${encodeURIComponent(id)}`;
        expect(await one.post(where, { pages: 1 })).toMatchObject({ status: 202, body: { id } });
        expect((await one.watch(id)).at(-1)).toMatchObject({ status: 'completed', id });
      }
      expect((await one.get('/jobs')).body).toEqual([...ids].sort());
      expect(await one.get(`/jobs/${'x'.repeat(2000)}`)).toMatchObject({ status: 400 });
    }));

  test('loses nothing when it is killed', () =>
    withServers(async (one, other) => {
      await one.post('/jobs/orphan', { pages: 100_000 });
      await one.watch('orphan', ({ logs }) => logs.includes('page 5 of 100000'));
      one.child.kill('SIGKILL');
      expect(await one.child.waitForExit()).toMatchObject({ signal: 'SIGKILL' });
      const { body } = await other.get('/jobs/orphan');
      const { logs, log_lines: lines } = body as Seen;
      expect(logs).toEqual(['asked for 100000 pages', ...pages(1, lines - 1, 100_000)]);
      expect(await other.post('/jobs/orphan/cancel')).toMatchObject({ status: 200 });
      expect(linesOf(await other.watch('orphan'))).toEqual([...logs, 'cancelled']);
    }));
});
