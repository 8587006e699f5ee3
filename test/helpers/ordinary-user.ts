/** The user that tests take for "somebody else, without privileges": Debian's, macOS's and BSD's `nobody`. */
export const ordinaryUser = { uid: 65_534, gid: 65_534 } as const;
