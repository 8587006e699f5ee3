import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { projectDirectory } from './paths.js';

/** The pages that people read, by their paths from the project's directory. */
export const pages: readonly string[] = [
  ...['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'SECURITY.md'],
  ...readdirSync(path.join(projectDirectory, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
].filter((page) => readPage(page) !== null);

/** Null where there is no such page. */
export function readPage(page: string): string | null {
  try {
    return readFileSync(path.join(projectDirectory, page), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

export interface CodeBlock {
  language: string;
  code: string;
  line: number;
  /** Why it is not run: what the comment `<!-- not run: … -->` before it says. */
  excuse: string | null;
}

const fence = /^(?:<!-- not run: ([^\n]+) -->\n\n?)?```(\w*)\n(.*?)^```$/gms;

export function codeBlocksOf(page: string): CodeBlock[] {
  const text = readPage(page) ?? '';
  return [...text.matchAll(fence)].map(
    ({ index, 1: excuse = null, 2: language = '', 3: code = '' }) => ({
      language,
      code,
      line: text.slice(0, index).split('\n').length,
      excuse,
    }),
  );
}
