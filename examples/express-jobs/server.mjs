// Jobs over HTTP: start, cancel, retry, and watch their progress. Any number of these servers may share one directory, and
// any of them may be asked about any job.
//
//   JOBS_DIRECTORY=./jobs PORT=3000 npm start
//   curl -X POST localhost:3000/jobs/report-1 -H 'content-type: application/json' -d '{"pages": 20}'
//   curl -N localhost:3000/jobs/report-1/progress
//   curl -X POST localhost:3000/jobs/report-1/cancel
import express from 'express';
import { JobStore } from 'holdfast';
import { render } from './render.mjs';

const { JOBS_DIRECTORY = './jobs', PORT = '3000', PAGE_MS = '100' } = process.env;
const lookEvery = 50;

const store = new JobStore(JOBS_DIRECTORY);
const app = express();
app.use(express.json());

/** Runs in the background; what becomes of it is in the store. */
function start(id) {
  render(store, id, Number(PAGE_MS)).catch((error) => console.error(error));
}

app.get('/jobs', async (_request, response) => {
  response.json(await store.list());
});

app.get('/jobs/:id', async (request, response) => {
  const job = await store.read(request.params.id);
  if (job === null) response.status(404).json({ error: 'no such job' });
  else response.json(job);
});

app.post('/jobs/:id', async (request, response) => {
  const { id } = request.params;
  const pages = Number(request.body?.pages ?? 10);
  // Revision 0: of two who start the same job one is turned away (ECONFLICT).
  const job = await store.update(id, { pages }, { ifRevision: 0, log: `asked for ${pages} pages` });
  start(id);
  response.status(202).json(job);
});

/** Changes a job if its status is one of these; else says that it is not. */
async function changeIf(statuses, request, response, patch, line) {
  let changed = false;
  const job = await store.update(
    request.params.id,
    (current) => {
      changed = statuses.includes(current?.status);
      return changed ? patch : undefined;
    },
    { log: line },
  );
  if (job === null) response.status(404).json({ error: 'no such job' });
  else response.status(changed ? 200 : 409).json(job);
  return changed;
}

app.post('/jobs/:id/cancel', async (request, response) => {
  await changeIf(['processing'], request, response, { status: 'cancelled' }, 'cancelled');
});

app.post('/jobs/:id/retry', async (request, response) => {
  const patch = { status: 'processing', progress_pct: 0 };
  if (await changeIf(['failed'], request, response, patch, 'tried again')) start(request.params.id);
});

// Server-sent events: one for each look that finds something new, with the lines since the last one. A browser that comes
// back says how many it has, and misses none.
app.get('/jobs/:id/progress', async (request, response) => {
  const { id } = request.params;
  let lines = Number(request.get('last-event-id') ?? 0);
  let revision = 0;
  let gone = false;
  response.on('close', () => (gone = true));
  while (!gone) {
    const job = await store.read(id, { logs: { after: lines } });
    if (revision === 0) {
      if (job === null) {
        response.status(404).json({ error: 'no such job' });
        return;
      }
      response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    }
    if (job === null) break;
    if (job.revision !== revision) {
      ({ revision, log_lines: lines } = job);
      response.write(`id: ${lines}\ndata: ${JSON.stringify(job)}\n\n`);
    }
    if (job.status !== 'processing') break;
    await new Promise((resolve) => setTimeout(resolve, lookEvery));
  }
  response.end();
});

// Express knows an error handler by its four parameters.
app.use((error, _request, response, next) => {
  if (response.headersSent) return next(error);
  const statuses = { ECONFLICT: 409, ETIMEDOUT: 503 };
  const badRequest = error instanceof TypeError || error instanceof RangeError ? 400 : 500;
  return response
    .status(error.status ?? statuses[error.code] ?? badRequest)
    .json({ error: error.message });
});

const server = app.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
