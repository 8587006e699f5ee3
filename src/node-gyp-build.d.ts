declare module 'node-gyp-build' {
  const nodeGypBuild: {
    /**
     * The file of the addon for this host: what was built in the package `root`, else what was prebuilt for it. Also
     * looks elsewhere. Throws where it finds nothing.
     */
    resolve(root: string): string;
  };
  export = nodeGypBuild;
}
