import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { expect, test } from 'vitest';

import { projectDirectory } from './helpers/paths.js';

const text = readFileSync(path.join(projectDirectory, 'docs', 'security.md'), 'utf8');
const isFile = (name: string) => existsSync(path.join(projectDirectory, name));

test('every defence in docs/security.md names where it is shown, and that is there', () => {
  const tables = text
    .split(/\n\n+/)
    .map((part) => part.split('\n').filter((line) => line.startsWith('|')))
    .filter(([header]) => header?.includes('shown by') === true);
  expect(tables.length).toBeGreaterThan(3);
  for (const row of tables.flatMap((lines) => lines.slice(2))) {
    const shownBy = row.split('|').at(-2) ?? '';
    const names = [...shownBy.matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? '');
    expect(names.length, row).toBeGreaterThan(0);
    expect(
      names.filter((name) => !isFile(name)),
      row,
    ).toEqual([]);
  }
});

test('what SECURITY.md and docs/security.md lead to is there', () => {
  const policy = readFileSync(path.join(projectDirectory, 'SECURITY.md'), 'utf8');
  expect(policy).toContain('(docs/security.md)');
  expect(text).toContain('(../SECURITY.md)');
});
