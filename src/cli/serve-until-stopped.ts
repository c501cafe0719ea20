/** The life of `comio server` once its configuration is known. */
import { withStopSignal } from './stop-signals.ts'

/** What this file needs of a running site. */
export interface RunningSite {
  /** Resolves once it has stopped, rejects when it stopped because it had to. */
  readonly closed: Promise<void>
  close(): Promise<void>
}

/** Starts a site and keeps it until it stops by itself or a signal asks it to. */
export async function serveUntilStopped(
  start: (signal: AbortSignal) => Promise<RunningSite>,
): Promise<void> {
  await withStopSignal(async (signal) => {
    const site = await start(signal)
    const asked = new Promise<void>((resolve) => {
      if (signal.aborted) resolve()
      else signal.addEventListener('abort', () => resolve(), { once: true })
    })
    await Promise.race([asked, site.closed])
    await site.close()
    await site.closed
  })
}
