/**
 * What a hashing thread runs: orders in, answers out in the same order. It knows nothing but hashes,
 * and imports nothing but Node, so that it starts in milliseconds.
 */
import { createHash, type Hash } from 'node:crypto'
import { setPriority } from 'node:os'
import { parentPort } from 'node:worker_threads'

export type HashAlgorithm = 'md5' | 'sha256'

/**
 * A job begins with the first order that names it, and ends with `digest` or `close`: a message costs the
 * main thread as much as the hash of some kilobytes. `update` is answered with undefined, `digest` with the
 * digest, `close` not at all.
 */
export type HashOrder = { readonly job: number; readonly algorithm: HashAlgorithm } & (
  | { readonly kind: 'update'; readonly bytes: Uint8Array }
  | { readonly kind: 'digest' | 'close' }
)

export type HashAnswer = Uint8Array | undefined

/** Of the scheduler: where cores are few, small requests on the main thread go before hashes. */
const niceness = 5

const hashes = new Map<number, Hash>()

function hashOf({ job, algorithm }: HashOrder): Hash {
  const known = hashes.get(job)
  if (known !== undefined) return known
  const hash = createHash(algorithm)
  hashes.set(job, hash)
  return hash
}

function obey(order: HashOrder, answer: (answer: HashAnswer) => void): void {
  switch (order.kind) {
    case 'update':
      hashOf(order).update(order.bytes)
      answer(undefined)
      return
    case 'digest':
      answer(hashOf(order).digest())
      hashes.delete(order.job)
      return
    case 'close':
      hashes.delete(order.job)
  }
}

// Linux alone has a niceness for each thread; elsewhere this would be the whole process's.
if (process.platform === 'linux') setPriority(niceness)
parentPort?.on('message', (order: HashOrder) => {
  obey(order, (answer) => parentPort?.postMessage(answer))
})
