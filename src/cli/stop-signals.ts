/** Ctrl-C and its relatives: the first asks to stop, the second does not ask. */

const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Runs `work` with a signal that aborts when somebody asks this process to stop. A second request
 * ends the process at once with `forcedExitCode`.
 */
export async function withStopSignal<T>(
  work: (signal: AbortSignal) => Promise<T>,
  options: {
    readonly onStop?: () => void
    readonly forcedExitCode?: number
    /** Told of a SIGHUP; true when that was no wish to stop. */
    readonly onHangUp?: () => boolean
  } = {},
): Promise<T> {
  const controller = new AbortController()
  const stop = (): void => {
    if (controller.signal.aborted) process.exit(options.forcedExitCode ?? 1)
    options.onStop?.()
    controller.abort()
  }
  const hangUp = (): void => {
    if (options.onHangUp?.() !== true) stop()
  }
  for (const name of names) process.on(name, name === 'SIGHUP' ? hangUp : stop)
  try {
    return await work(controller.signal)
  } finally {
    for (const name of names) process.off(name, name === 'SIGHUP' ? hangUp : stop)
  }
}
