import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);

export const projectDirectory = fileURLToPath(new URL('..', import.meta.url));

/** gyp's name of the operating system that this runs on. */
export const hostSystem = { darwin: 'mac', win32: 'win' }[process.platform] ?? process.platform;

/**
 * What binding.gyp compiles for an operating system: the sources, relative to the project, the flags that any clang or
 * gcc needs to see them as the build does, and the libraries to link with. Node's headers come from npm, so no Node
 * source tree is needed.
 */
export function nativeTarget(system) {
  const target = JSON.parse(
    execFileSync('python3', [
      path.join(projectDirectory, 'scripts', 'gyp_target.py'),
      path.join(projectDirectory, 'binding.gyp'),
      system,
    ]),
  );
  const systemHeaders = [
    require('node-api-headers').include_dir,
    path.dirname(require.resolve('node-addon-api')),
  ];
  return {
    sources: target.sources,
    flags: [
      '-std=c++17',
      // What node-gyp says.
      '-fno-exceptions',
      '-DBUILDING_NODE_EXTENSION',
      // What binding.gyp says to each compiler in its own words.
      '-fvisibility=hidden',
      ...target.defines.map((define) => `-D${define}`),
      `-I${path.join(projectDirectory, 'native')}`,
      ...systemHeaders.flatMap((directory) => ['-isystem', directory]),
    ],
    libraries: target.libraries ?? [],
  };
}
