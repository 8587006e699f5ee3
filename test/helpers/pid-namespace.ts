/** Arguments of unshare(1), before a command line. */
export const ownPidNamespace = ['--pid', '--fork', '--kill-child', '--mount-proc'] as const;
