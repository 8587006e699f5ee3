import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout. */
export const projectDirectory = fileURLToPath(new URL('../../', import.meta.url));

/** The programs that tests run as child processes and workers. */
export const fixturesDirectory = path.join(projectDirectory, 'test', 'fixtures');
export const expressExample = path.join(projectDirectory, 'examples', 'express-jobs');
export const electronExample = path.join(projectDirectory, 'examples', 'electron');
