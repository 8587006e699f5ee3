declare module 'node-gyp-build' {
  /** Loads the addon of the package in `root`: its own build, else the prebuilt one for this host. */
  function load(root: string): unknown;
  export = load;
}
