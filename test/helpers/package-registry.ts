import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A package as a registry has it. */
export interface PublishedPackage {
  /** What its package.json says. */
  manifest: { name: string; version: string; [key: string]: unknown };
  /** The path of what `npm pack` has made of it. */
  tarball: string;
}

/**
 * Hands `use` the address of a registry for npm that knows these packages and no others. So what is said about packages that
 * npm fetches can be tried before they are published.
 */
export async function withRegistry<T>(
  packages: readonly PublishedPackage[],
  use: (address: string) => Promise<T>,
): Promise<T> {
  const contents = await Promise.all(packages.map(({ tarball }) => readFile(tarball)));
  const server = createServer((request, response) => {
    const [name = '', file] = decodeURIComponent(request.url ?? '')
      .slice(1)
      .split('/-/');
    const index = packages.findIndex(({ manifest }) => manifest.name === name);
    const found = packages[index];
    const bytes = contents[index];
    if (found === undefined || bytes === undefined) {
      response.writeHead(404).end('{}');
    } else if (file !== undefined) {
      response.end(bytes);
    } else {
      const { version } = found.manifest;
      const integrity = `sha512-${createHash('sha512').update(bytes).digest('base64')}`;
      const tarball = `http://${String(request.headers.host)}/${name}/-/${name}-${version}.tgz`;
      response.setHeader('content-type', 'application/json');
      response.end(
        JSON.stringify({
          name,
          'dist-tags': { latest: version },
          versions: { [version]: { ...found.manifest, dist: { tarball, integrity } } },
        }),
      );
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    return await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}
