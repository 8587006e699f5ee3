import { describe, expect, test } from 'vitest';

import { formatDuration, parseDuration } from '../src/cli/duration.js';

describe('a duration on the command line', () => {
  test.each([
    ['500ms', 500],
    ['5s', 5000],
    ['2m', 120_000],
    ['1h', 3_600_000],
    ['5', 5000],
    ['0', 0],
    ['0ms', 0],
    ['0.5', 500],
    ['1.5s', 1500],
    ['1.1s', 1100],
    ['0.25h', 900_000],
    ['007', 7000],
  ])('%s is %d ms', (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });

  test.each([
    '',
    ' ',
    's',
    'ms',
    '-5s',
    '+5s',
    '5 s',
    ' 5s',
    '5s\n',
    '5S',
    '5sec',
    '5d',
    '5s5',
    '1h30m',
    '.5',
    '5.',
    '1e3',
    '0x10',
    '١s',
    'NaN',
    'Infinity',
    '9'.repeat(400),
    '9007199254740993ms',
  ])('%j is refused', (text) => {
    expect(parseDuration(text)).toBeNull();
  });
});

describe('a duration in words', () => {
  test.each([
    [0, '0.0 ms'],
    [0.4, '0.4 ms'],
    [9.94, '9.9 ms'],
    [9.96, '10 ms'],
    [41.4, '41 ms'],
    [999.4, '999 ms'],
    [999.6, '1.0 s'],
    [2940, '2.9 s'],
    [59_949, '59.9 s'],
    [59_960, '1 min 0 s'],
    [200_000, '3 min 20 s'],
    [3_599_600, '1 h 0 min'],
    [18_600_000, '5 h 10 min'],
  ])('%d ms is %s', (milliseconds, text) => {
    expect(formatDuration(milliseconds)).toBe(text);
  });
});
