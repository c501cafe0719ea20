/** The life of `comio server` once its configuration is known. */
import { closeSync, openSync } from 'node:fs'
import { withStopSignal } from './stop-signals.ts'

/** What this file needs of a running site. */
export interface RunningSite {
  /** Resolves once it has stopped, rejects when it stopped because it had to. */
  readonly closed: Promise<void>
  close(): Promise<void>
  /** Takes over what can change at run time. */
  reload(): Promise<void>
}

/**
 * Starts a site and keeps it until it stops by itself or a signal asks it to. SIGHUP makes it reload,
 * unless it came because the terminal was closed.
 */
export async function serveUntilStopped(
  start: (signal: AbortSignal) => Promise<RunningSite>,
): Promise<void> {
  let running: RunningSite | undefined
  const onHangUp = (): boolean => {
    if (terminalIsGone()) return false
    void running?.reload()
    return true
  }
  await withStopSignal(
    async (signal) => {
      const site = await start(signal)
      running = site
      const asked = new Promise<void>((resolve) => {
        if (signal.aborted) resolve()
        else signal.addEventListener('abort', () => resolve(), { once: true })
      })
      await Promise.race([asked, site.closed])
      await site.close()
      await site.closed
    },
    { onHangUp },
  )
}

/** True for a site in the foreground of a terminal that is not there any more. */
function terminalIsGone(): boolean {
  if (!process.stdout.isTTY) return false
  try {
    closeSync(openSync('/dev/tty', 'r'))
    return false
  } catch {
    // Whatever the reason is, nobody can look at this site there.
    return true
  }
}
