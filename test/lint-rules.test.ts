import path from 'node:path';

import { ESLint } from 'eslint';
import { describe, expect, test } from 'vitest';

import { projectDirectory } from './helpers/paths.js';

// The project's own configuration. Only the rules about safety count here, and without the others no snippet needs to
// be part of a type-checked program.
const eslint = new ESLint({
  cwd: projectDirectory,
  overrideConfig: {
    files: ['**/*.ts', '**/*.mts'],
    languageOptions: { parserOptions: { projectService: false } },
  },
  ruleFilter: ({ ruleId }) =>
    /no-restricted-(?:imports|syntax)$/.test(ruleId) || ruleId.startsWith('regexp/'),
});

async function complaints(code: string, file: string): Promise<string[]> {
  const [result] = await eslint.lintText(code, { filePath: path.join(projectDirectory, file) });
  const messages = result?.messages ?? [];
  expect(messages.filter((message) => message.fatal)).toEqual([]);
  return messages.map((message) => message.message);
}

const module = [
  'import { exec } from "child_process";',
  'import { exec } from "node:child_process";',
  'import { execSync } from "node:child_process";',
  'import { spawn, exec } from "node:child_process";',
  'import { exec as execFile } from "node:child_process";',
  'import { "exec" as run } from "node:child_process";',
  'import cp from "node:child_process";',
  'import cp, { spawn } from "child_process";',
  'import { default as cp } from "node:child_process";',
  'import * as cp from "node:child_process"; cp.exec("ls");',
  'import * as anything from "child_process";',
  'export { exec } from "node:child_process";',
  'export { execSync as run } from "node:child_process";',
  'export * from "node:child_process";',
  'export * as cp from "child_process";',
  'const cp = await import("node:child_process");',
  'const { exec } = await import("child_process");',
  'import("node:child_process").then(({ exec }) => exec("ls"));',
  'const { exec } = await import(`node:child_process`);',
  'import { createRequire } from "node:module"; createRequire(import.meta.url)("child_process").exec("ls");',
  'const { exec } = process.getBuiltinModule("node:child_process");',
  'const name = "child_process"; (await import(name)).exec("ls");',
];

const commonJs = [
  'require("child_process").exec("ls");',
  'require("node:child_process")["exec"]("ls");',
  'require(`child_process`).exec("ls");',
  'const cp = require("node:child_process"); cp.exec("ls");',
  'const cp = require("child_process");',
  'let cp; cp = require("node:child_process");',
  'const { exec } = require("child_process");',
  'const { exec: run } = require("node:child_process");',
  'const { "execSync": run } = require("node:child_process");',
  'const { ["exec"]: run } = require("node:child_process");',
  'const { [`exec`]: run } = require("node:child_process");',
  'const { [name]: run } = require("node:child_process");',
  'const { spawn, execSync } = require("node:child_process");',
  'const { spawn, ...others } = require("node:child_process");',
  'const { exec } = module.require("child_process");',
  'const exec = require("child_process").exec;',
  'module.exports = require("node:child_process");',
  'use(require("node:child_process"));',
  'cp.exec("ls");',
  'childProcess.exec("ls");',
  'child_process["exec"]("ls");',
  'anything.execSync("ls");',
  'anything["execSync"]("ls");',
];

const typeScript = [
  'import cp = require("node:child_process"); cp.exec("ls");',
  'import { type ChildProcess, exec } from "node:child_process";',
];

const shells = [
  'spawn("ls", [], { shell: true });',
  'spawn("ls", [], { "shell": true });',
  'spawn("ls", [], { ["shell"]: true });',
  'spawn("ls", [], { shell: "/bin/sh" });',
  'spawn("ls", [], { shell: "false" });',
  'spawn("ls", [], { shell: 1 });',
  'spawn("ls", [], { shell: !0 });',
  'spawn("ls", [], { shell: process.platform === "win32" });',
  'spawn("ls", [], { shell });',
  'const options = { stdio: "inherit", shell: true };',
  'const options = {}; options.shell = true;',
  'const options = {}; options["shell"] = name;',
];

const allowed = [
  'import { execFile, execFileSync, fork, spawn, spawnSync } from "node:child_process";',
  'import { spawn as start } from "child_process";',
  'const match = /a(b)/.exec(text);',
  'const match = pattern.exec(text);',
  'statement.exec(sql);',
  'spawn("ls", [], { shell: false });',
  'spawn("ls", ["--shell=true"]);',
  'const { shell } = settings;',
  'options.shell = false;',
  'if (options.shell) throw new Error("no");',
  'const text = "child_process.exec and shell: true in a sentence";',
];

const allowedCommonJs = [
  'const { execFile, spawn: start } = require("node:child_process");',
  'const { exec } = require("./database");',
  'const path = require("node:path");',
];

const moduleFiles = [
  'src/a.ts',
  'test/a.test.ts',
  'scripts/a.mjs',
  'bench/a.mjs',
  'test/fixtures/a.mjs',
];
const commonJsFiles = ['test/fixtures/a.cjs', 'scripts/a.js'];

describe('a shell is an error of the linter', () => {
  test.each([...module, ...shells])('in a module: %s', async (code) => {
    for (const file of moduleFiles) expect(await complaints(code, file), file).not.toEqual([]);
  });

  test.each([...commonJs, ...shells])('in CommonJS: %s', async (code) => {
    for (const file of commonJsFiles) expect(await complaints(code, file), file).not.toEqual([]);
  });

  test.each(typeScript)('in TypeScript: %s', async (code) => {
    expect(await complaints(code, 'src/a.ts')).not.toEqual([]);
  });
});

describe('starting a program without a shell is not', () => {
  test.each(allowed)('in a module: %s', async (code) => {
    for (const file of moduleFiles) expect(await complaints(code, file), file).toEqual([]);
  });

  test.each(allowedCommonJs)('in CommonJS: %s', async (code) => {
    for (const file of commonJsFiles) expect(await complaints(code, file), file).toEqual([]);
  });
});

describe('a path given to node:fs by the library is an error of the linter', () => {
  test.each([
    'import { openSync } from "node:fs";',
    'import fs from "fs";',
    'import * as fs from "node:fs";',
    'import { open } from "node:fs/promises";',
    'import { promises } from "fs";',
    'export { open } from "node:fs/promises";',
  ])('in a module: %s', async (code) => {
    expect(await complaints(code, 'src/a.ts')).not.toEqual([]);
    expect(await complaints(code, 'src/cli/a.ts')).not.toEqual([]);
    expect(await complaints(code, 'test/a.test.ts')).toEqual([]);
  });

  test('a type is none', async () => {
    expect(await complaints('import type { Stats } from "node:fs";', 'src/a.ts')).toEqual([]);
  });
});

describe('a regular expression that can take longer than its input is an error of the linter', () => {
  test.each([
    'const pattern = /^(?:a+)+$/;',
    String.raw`const pattern = /(?:\/+\.?)+$/;`,
    'const pattern = /^(?:a|a)*$/;',
    String.raw`const pattern = /\s+$/;`,
  ])('in a module: %s', async (code) => {
    expect(await complaints(code, 'src/a.ts')).not.toEqual([]);
  });

  test('a linear one is none', async () => {
    const code = String.raw`const pattern = /^\d+(?:\.\d+)?$/;`;
    expect(await complaints(code, 'src/a.ts')).toEqual([]);
  });
});

test('the rules are errors, not warnings', async () => {
  for (const file of ['src/a.ts', 'scripts/a.mjs', 'test/fixtures/a.cjs', 'eslint.config.mjs']) {
    const config = (await eslint.calculateConfigForFile(path.join(projectDirectory, file))) as {
      rules: Record<string, [number]>;
    };
    expect(config.rules['no-restricted-imports']?.[0], file).toBe(2);
    expect(config.rules['no-restricted-syntax']?.[0], file).toBe(2);
  }
});
