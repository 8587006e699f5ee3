// The work itself, page by page. It stops when somebody has cancelled the job, in whichever process.

/** Page 13 is where it goes wrong, the first time. */
const unlucky = 13;

export async function render(store, id, pageMs) {
  const { pages, failures = 0 } = await store.read(id, { logs: false });
  for (let page = 1; page <= pages; page++) {
    await new Promise((resolve) => setTimeout(resolve, pageMs));
    if (page === unlucky && failures === 0) {
      const failed = { status: 'failed', failures: failures + 1 };
      await change(store, id, failed, `page ${page} has failed`);
      return;
    }
    const progress = { progress_pct: Math.round((100 * page) / pages) };
    if (!(await change(store, id, progress, `page ${page} of ${pages}`))) return;
  }
  // Status, result and line appear together: nobody sees a job that is completed and has no result.
  await change(store, id, { status: 'completed', result: { file: `${pages}.pdf` } }, 'completed');
}

/** Changes a job that is still wanted; whether it is. */
async function change(store, id, patch, line) {
  const job = await store.update(
    id,
    (current) => (current?.status === 'processing' ? patch : undefined),
    { log: line },
  );
  return job?.status === 'processing';
}
