export interface DemoOptions {
  /** Leave both sites running afterwards and print how to use and stop them. */
  readonly keep: boolean
  /** The program to start the sites with: `bin/comio`. */
  readonly binPath: string
  /** The project's own files are uploaded from here; found from `binPath` when absent. */
  readonly projectRoot?: string
  readonly stdout: NodeJS.WritableStream
  readonly stderr: NodeJS.WritableStream
  /** Abort it on SIGINT, SIGTERM and SIGHUP. */
  readonly signal?: AbortSignal
}

export async function runDemo(options: DemoOptions): Promise<{ readonly ok: boolean }> {
  throw new Error(`not yet: ${options.binPath}`)
}
