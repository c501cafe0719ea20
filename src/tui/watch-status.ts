/**
 * The terminal's view of a site: asks for its status, shows it, and leaves the terminal as it was,
 * however it ends. It knows the control plane's documents and nothing of the engine; a site that
 * does not answer is shown and asked again.
 */
import { type Instance, render, renderToString } from 'ink'
import { createElement, type ReactElement } from 'react'
import { LiveScreen } from './live-screen.tsx'
import { StatusPoller } from './status-poller.ts'
import { StatusScreen } from './status-screen.tsx'
import type { StatusSource } from './status-source.ts'
import type { StatusView } from './status-view.ts'

export interface WatchStatusOptions {
  readonly client: StatusSource
  /** The address that `client` asks, for the screen. */
  readonly url: string
  readonly intervalMs?: number
  readonly stdout: NodeJS.WriteStream
  readonly stdin: NodeJS.ReadStream
  /** Ends the screen, as `q` does. */
  readonly signal?: AbortSignal
}

const plainColumns = 80

/**
 * Shows the status until somebody quits. Where stdout is no terminal: prints it once, plainly.
 * @throws what the client throws, in the plain form only
 */
export async function watchStatus(options: WatchStatusOptions): Promise<void> {
  if (options.stdout.isTTY) return showLive(options)
  const ignore = (): void => undefined
  const poller = new StatusPoller({ ...settings(options), onView: ignore, onError: ignore })
  await poller.ask()
  options.stdout.write(`${formatPlain(poller.view)}\n`)
}

/** The screen as text without any control sequence, at most 80 columns wide. */
export function formatPlain(view: StatusView): string {
  const screen = createElement(StatusScreen, { view, columns: plainColumns, color: false })
  return renderToString(screen, { columns: plainColumns })
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
}

/**
 * Ink gives the keyboard back in a later turn of the event loop, which may not come, or takes it again
 * with a frame that was on its way: a process that still listens to it does not end.
 */
function leaveKeyboard(stdin: NodeJS.ReadStream): void {
  if (!stdin.isTTY) return
  stdin.setRawMode(false)
  stdin.pause()
  stdin.unref()
}

async function showLive(options: WatchStatusOptions): Promise<void> {
  const { stdout, stdin, signal } = options
  if (signal?.aborted) return
  const color = !process.env.NO_COLOR
  let instance: Instance | undefined
  const failures: unknown[] = []
  const left = Promise.withResolvers<void>()
  // A key may be pressed before the first frame is drawn: then there is nothing to take away yet.
  const quit = (): void => {
    poller.stop()
    left.resolve()
    instance?.unmount()
  }
  const screen = (view: StatusView): ReactElement =>
    createElement(LiveScreen, { view, color, onQuit: quit })
  const poller = new StatusPoller({
    ...settings(options),
    onView: (view) => instance?.rerender(screen(view)),
    onError: (error) => {
      failures.push(error)
      quit()
    },
  })
  instance = render(screen(poller.view), {
    ...{ stdout, stdin, alternateScreen: true, patchConsole: false },
    // Under a variable that says "continuous integration" Ink would not draw, even on a terminal.
    interactive: true,
  })
  signal?.addEventListener('abort', quit, { once: true })
  poller.start()
  try {
    // Ctrl-C is Ink's own; whoever quits before Ink waits would wait for ever.
    await Promise.race([instance.waitUntilExit(), left.promise])
  } finally {
    poller.stop()
    instance.unmount()
    signal?.removeEventListener('abort', quit)
    instance.cleanup()
    leaveKeyboard(stdin)
  }
  if (failures.length > 0) throw failures[0]
}

function settings(options: WatchStatusOptions): {
  readonly source: StatusSource
  readonly url: string
  readonly intervalMs: number
} {
  return { source: options.client, url: options.url, intervalMs: options.intervalMs ?? 1000 }
}
