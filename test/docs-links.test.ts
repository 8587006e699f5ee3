import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { pages, readPage } from './helpers/documents.js';
import { projectDirectory } from './helpers/paths.js';

/** What GitHub makes of a heading: its words in lower case, joined by hyphens; a second one of the same gets a number. */
function anchorsOf(page: string): Set<string> {
  const text = withoutCode(readFileSync(path.join(projectDirectory, page), 'utf8'));
  const anchors = new Set<string>();
  for (const [, heading = ''] of text.matchAll(/^#{1,6} +(.+?) *$/gm)) {
    const name = heading
      .replaceAll(/<[^>]*>|\\(?=.)/g, '')
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\p{M}_ -]/gu, '')
      .replaceAll(' ', '-');
    let anchor = name;
    for (let count = 1; anchors.has(anchor); count++) anchor = `${name}-${count}`;
    anchors.add(anchor);
  }
  for (const [, id = ''] of text.matchAll(/<a id="([^"]+)">/g)) anchors.add(id);
  return anchors;
}

/** Code may look like a link. */
function withoutCode(text: string): string {
  return text
    .replaceAll(/^```.*?^```$/gms, '')
    .replaceAll(/`[^`\n]*`/g, (code) => code.replaceAll(/[[\]()<>]/g, ''));
}

function linksOf(page: string): string[] {
  const text = withoutCode(readPage(page) ?? '');
  return [
    ...[...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target),
    ...[...text.matchAll(/(?:src|srcset|href)="([^"]+)"/g)].map(([, target = '']) => target),
  ];
}

/** Drawn from measurements, and not there before they were made: `npm run bench`. */
const isMissingPlot = (file: string): boolean =>
  file.startsWith('bench/plots/') && !existsSync(path.join(projectDirectory, 'bench', 'plots'));

function problemOf(page: string, link: string): string | null {
  const [target = '', anchor] = link.split('#');
  const file = path.posix.join(path.posix.dirname(page), target);
  const linked = target === '' ? page : file;
  if (linked.startsWith('..')) return 'leads out of the project';
  if (isMissingPlot(linked)) return null;
  const place = path.join(projectDirectory, linked);
  if (!existsSync(place)) return 'leads nowhere';
  if (anchor === undefined) return null;
  if (!statSync(place).isFile() || !linked.endsWith('.md'))
    return 'names a place in what is no page';
  return anchorsOf(linked).has(anchor) ? null : 'names no heading of that page';
}

describe.each(pages)('%s', (page) => {
  test('links to pages and headings that are there', () => {
    const inner = linksOf(page).filter((link) => !/^[a-z]+:/.test(link));
    const problems = inner.flatMap((link) => {
      const problem = problemOf(page, link);
      return problem === null ? [] : [`${link} ${problem}`];
    });
    expect(problems).toEqual([]);
  });
});

test('every page of docs/ can be reached from README.md', () => {
  const reached = new Set<string>();
  const follow = (page: string): void => {
    if (reached.has(page)) return;
    reached.add(page);
    for (const link of linksOf(page)) {
      if (/^[a-z]+:|^#/.test(link)) continue;
      const next = path.posix.join(path.posix.dirname(page), link.split('#')[0] ?? '');
      if (pages.includes(next)) follow(next);
    }
  };
  follow('README.md');
  expect(pages.filter((page) => !reached.has(page))).toEqual([]);
});
