/**
 * What a hashing thread runs: orders in, answers out in the same order. It knows nothing but hashes,
 * and imports nothing but Node, so that it starts in milliseconds.
 */
import { createHash, type Hash } from 'node:crypto'
import { setPriority } from 'node:os'
import { parentPort } from 'node:worker_threads'

export type HashAlgorithm = 'md5' | 'sha256'

/** `update` is answered with undefined, `digest` with the digest, the others not at all. */
export type HashOrder =
  | { readonly kind: 'open'; readonly job: number; readonly algorithm: HashAlgorithm }
  | { readonly kind: 'update'; readonly job: number; readonly bytes: Uint8Array }
  | { readonly kind: 'digest' | 'close'; readonly job: number }

export type HashAnswer = Uint8Array | undefined

/** Of the scheduler: where cores are few, small requests on the main thread go before hashes. */
const niceness = 5

const hashes = new Map<number, Hash>()

function hashOf(job: number): Hash {
  const hash = hashes.get(job)
  if (hash === undefined) throw new Error(`no hash ${job} is open`)
  return hash
}

function obey(order: HashOrder, answer: (answer: HashAnswer) => void): void {
  switch (order.kind) {
    case 'open':
      hashes.set(order.job, createHash(order.algorithm))
      return
    case 'update':
      hashOf(order.job).update(order.bytes)
      answer(undefined)
      return
    case 'digest':
      answer(hashOf(order.job).digest())
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
