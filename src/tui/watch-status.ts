import type { StatusSource } from './status-source.ts'

export interface WatchStatusOptions {
  readonly client: StatusSource
  /** The address that `client` asks, for the screen. */
  readonly url: string
  readonly intervalMs?: number
  readonly stdout: NodeJS.WriteStream
  readonly stdin: NodeJS.ReadStream
  readonly signal?: AbortSignal
}

export async function watchStatus(options: WatchStatusOptions): Promise<void> {
  throw new Error(`not yet: ${options.url}`)
}
