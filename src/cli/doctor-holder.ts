/** Takes the lock on its argument and keeps it until it is killed, or left alone. */
import { lock } from '../index.js';

const [target = '', patience = ''] = process.argv.slice(2);

// Left alone, we would hold the lock for nobody.
process.on('disconnect', () => process.exit(1));

lock(target, { timeout: Number(patience) }).then(
  () => process.send?.({ name: 'held' }),
  (error: unknown) => {
    const { code = 'UNKNOWN', message } = error as NodeJS.ErrnoException;
    process.send?.({ name: 'failed', code, message });
  },
);
