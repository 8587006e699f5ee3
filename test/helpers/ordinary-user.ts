/** The user that tests take for "somebody else, without privileges": Debian's, macOS's and BSD's `nobody`. */
export const ordinaryUser = { uid: 65_534, gid: 65_534 } as const;

/** A second one, who shares nothing with the first. Nobody needs to know his name. */
export const anotherUser = { uid: 65_533, gid: 65_533 } as const;
