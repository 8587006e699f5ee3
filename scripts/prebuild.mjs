// Builds the binaries of a release, all on one machine: `node scripts/prebuild.mjs [--verify] [TARGET...]`.
//
// Without targets: all of them, into prebuilds/, and their check sums into prebuilds/SHA256SUMS, which is committed. The
// same sources give the same bytes wherever this runs, so `--verify` builds everything anew, without what was compiled
// before, and compares: what it builds with SHA256SUMS, and what lies in prebuilds/ as well. It ends with 1 at a
// difference; else prebuilds/ is complete afterwards, and verified.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { binaryFacts } from './binary-facts.mjs';
import { complaintsAbout } from './check-binary.mjs';
import { crossCompile, whyNoCrossCompiler } from './cross-compile.mjs';
import { inParallel } from './in-parallel.mjs';
import { chooseTargets, hashOf, prebuildsDirectory, targets } from './targets.mjs';

const sumsFile = path.join(prebuildsDirectory, 'SHA256SUMS');

/** The form of sha256sum(1). */
function readSums() {
  if (!existsSync(sumsFile)) return new Map();
  const lines = readFileSync(sumsFile, 'utf8').trimEnd().split('\n');
  return new Map(lines.map((line) => line.split('  ').toReversed()));
}

/** Builds a target into `directory`. Throws unless the binary is as a release needs it. */
async function build(target, directory, fresh) {
  const started = performance.now();
  const output = path.join(directory, target.file);
  await crossCompile(target, { output, fresh });
  const image = readFileSync(output);
  const complaints = complaintsAbout(image, target);
  if (complaints.length > 0) throw new Error(`${target.name}: ${complaints.join('; ')}`);
  const { floor } = binaryFacts(image);
  const seconds = Math.round((performance.now() - started) / 1000);
  const words = [target.name.padEnd(17), String(image.length).padStart(9), hashOf(image)];
  console.log(`${words.join('  ')}  ${(floor ?? '').padEnd(5)}  ${seconds} s`);
  return [target.file, hashOf(image)];
}

/** Whether the committed check sums say the same of these files; prints what they say else. */
function agree(sums, hashes) {
  const different = [...hashes].filter(([file, hash]) => sums.get(file) !== hash);
  for (const [file, hash] of different) {
    console.error(`DIFFERENT: ${file} is ${hash}, and in SHA256SUMS ${sums.get(file) ?? 'absent'}`);
  }
  return different.length === 0;
}

/** The hashes of what lies in prebuilds/. */
function hashesInPlace() {
  const files = targets.map(({ file }) => file);
  return files
    .filter((file) => existsSync(path.join(prebuildsDirectory, file)))
    .map((file) => [file, hashOf(readFileSync(path.join(prebuildsDirectory, file)))]);
}

async function main() {
  const notice = whyNoCrossCompiler();
  if (notice !== null) {
    throw new Error(`${notice}; 'npm run prebuild:native' builds for this machine alone`);
  }
  const given = process.argv.slice(2);
  const verify = given.includes('--verify');
  const names = given.filter((argument) => argument !== '--verify');
  if (verify && !agree(readSums(), hashesInPlace())) {
    process.exitCode = 1;
    return;
  }
  const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-prebuild-'));
  try {
    const chosen = chooseTargets(targets, names);
    const built = new Map(await inParallel(chosen, (target) => build(target, directory, verify)));
    if (verify) {
      if (!agree(readSums(), built)) {
        process.exitCode = 1;
        return;
      }
      console.log(`verified: ${built.size} binaries are those of prebuilds/SHA256SUMS`);
    }
    for (const file of built.keys()) {
      mkdirSync(path.dirname(path.join(prebuildsDirectory, file)), { recursive: true });
      copyFileSync(path.join(directory, file), path.join(prebuildsDirectory, file));
    }
    if (!verify && names.length === 0) {
      const lines = [...built.entries()].toSorted().map(([file, hash]) => `${hash}  ${file}\n`);
      writeFileSync(sumsFile, lines.join(''));
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

await main();
