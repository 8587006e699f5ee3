// What a release is made of, by check sums that are committed: `node scripts/release-sums.mjs PACKAGE` compares the files of an
// unpacked tarball, `--write` renews dist.SHA256SUMS from dist/ (`npm run build:ts`), which the commit of a release has to have.
//
// A binary must have its sum in prebuilds/SHA256SUMS, a file of dist/ its sum in dist.SHA256SUMS, and every other file must be
// that of the checkout. Needs Node alone, since it runs where a release may be published.
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const project = fileURLToPath(new URL('..', import.meta.url));
const distSums = path.join(project, 'dist.SHA256SUMS');

const hashOf = (file) => createHash('sha256').update(readFileSync(file)).digest('hex');

/** The regular files below a directory, relative to it; anything else is an error. */
function filesBelow(directory) {
  return readdirSync(directory, { recursive: true })
    .map((name) => name.split(path.sep).join('/'))
    .filter((name) => {
      const status = lstatSync(path.join(directory, name));
      if (!status.isFile() && !status.isDirectory()) throw new Error(`${name} is no regular file`);
      return status.isFile();
    })
    .toSorted();
}

/** In the form of sha256sum(1), with the names below `directory`. */
function readSums(file, directory) {
  const lines = existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : [];
  return new Map(lines.map((line) => [`${directory}/${line.slice(66)}`, line.slice(0, 64)]));
}

/** Where the checkout has a file of the package. */
function sourceOf(name) {
  return path.join(project, name === 'prebuilds/binding.gyp' ? 'binding.gyp' : name);
}

function complaintsAbout(directory) {
  const sums = new Map([
    ...readSums(path.join(project, 'prebuilds', 'SHA256SUMS'), 'prebuilds'),
    ...readSums(distSums, 'dist'),
  ]);
  const complaints = [];
  for (const name of filesBelow(directory)) {
    const known = sums.get(name);
    sums.delete(name);
    const compiled = name.startsWith('dist/') || name.endsWith('.node');
    if (!compiled && !existsSync(sourceOf(name))) complaints.push(`${name}: not in the checkout`);
    else if (hashOf(path.join(directory, name)) !== (compiled ? known : hashOf(sourceOf(name)))) {
      complaints.push(
        `${name}: ${compiled && known === undefined ? 'has no check sum' : 'differs'}`,
      );
    }
  }
  return [...complaints, ...[...sums.keys()].map((name) => `${name}: missing`)];
}

const [argument] = process.argv.slice(2);
if (argument === '--write') {
  const dist = path.join(project, 'dist');
  const lines = filesBelow(dist).map((name) => `${hashOf(path.join(dist, name))}  ${name}\n`);
  writeFileSync(distSums, lines.join(''));
  console.log(`${lines.length} files in dist.SHA256SUMS`);
} else if (argument === undefined) {
  console.error('usage: node scripts/release-sums.mjs PACKAGE | --write');
  process.exitCode = 2;
} else {
  const complaints = complaintsAbout(argument);
  for (const complaint of complaints) console.error(complaint);
  console.log(complaints.length === 0 ? 'every file is as committed' : 'not to be published');
  process.exitCode = complaints.length === 0 ? 0 : 1;
}
