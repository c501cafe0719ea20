import type { Writable } from 'node:stream'

/** Resolves when the system has taken the bytes, so that their memory may go, or whoever reads them is gone. */
export function handOver(target: Writable, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    if (target.destroyed) return resolve()
    const settle = (): void => {
      target.off('close', settle)
      resolve()
    }
    target.on('close', settle)
    target.write(bytes, settle)
  })
}
