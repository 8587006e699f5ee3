import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';

import { cached } from './downloads.mjs';
import { projectDirectory } from './native-target.mjs';

/**
 * A file that includes all of these sources, to be compiled in their place, and the flags that this needs. A compiler reads
 * the headers once then instead of fifty times, which is most of its work, and a linter even more of it. That each source
 * can do without the others, node-gyp shows, which compiles them one by one. Names in unnamed namespaces are for one source
 * alone all the same: those of two must differ.
 */
export function unifiedSource(sources) {
  const text = [
    '// NOLINTBEGIN(bugprone-suspicious-include)',
    ...sources.map((source) => `#include "${source.replaceAll(path.sep, '/')}"`),
    '// NOLINTEND(bugprone-suspicious-include)\n',
  ].join('\n');
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 16);
  const directory = cached(`unified-${hash}`, (incoming) => {
    writeFileSync(path.join(incoming, 'holdfast.cc'), text);
  });
  return { file: path.join(directory, 'holdfast.cc'), flags: [`-I${projectDirectory}`] };
}
