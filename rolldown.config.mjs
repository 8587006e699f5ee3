import { defineConfig } from 'rolldown';

// Node takes about half a millisecond for each file that it loads, so that dist/ has few: an entry for whatever is loaded by
// its name, and what they share. State that is shared lies in one file, whichever entry came first.
export default defineConfig({
  input: {
    index: 'src/index.ts',
    'proper-lockfile/index': 'src/proper-lockfile/index.ts',
    'cli/main': 'src/cli/main.ts',
    'cli/demo-writer': 'src/cli/demo-writer.ts',
    'cli/doctor-holder': 'src/cli/doctor-holder.ts',
  },
  platform: 'node',
  external: /^node:/,
  resolve: { extensionAlias: { '.js': ['.ts'] } },
  output: {
    dir: 'dist',
    // What an older build has left there would be packed.
    cleanDir: true,
    format: 'cjs',
    strict: true,
    // They are in the declarations.
    comments: false,
    // At the top, where src/load-addon.ts looks for the package one directory up.
    chunkFileNames: '[name].js',
    // With the library the addon is loaded. What loads it is also for those who ask why that fails.
    codeSplitting: {
      groups: [
        {
          name: 'loader',
          test: /\/src\/(errors|host-libc|load-addon|printable)\.ts$/,
          priority: 1,
        },
        { name: 'library', test: /\/src\/(?!cli\/|proper-lockfile\/|index\.ts$)/ },
      ],
    },
  },
});
