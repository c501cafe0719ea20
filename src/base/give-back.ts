/**
 * Memory of buffers, given back as soon as nobody needs it. What is left to the garbage collector is
 * freed long after, in whole collections that 64 MiB of buffers bring about, and comes from the system
 * anew for each buffer: a read into a fresh mebibyte costs three to five times one into memory that was
 * given back (measured).
 */

/**
 * Frees what `bytes` lies in. They must be their holder's alone: nobody may look at them, or at
 * anything else in the same memory, after this.
 */
export function giveBack(bytes: Uint8Array): void {
  const { buffer } = bytes
  // Small buffers lie in the pool of all, and memory that threads share cannot be taken from them.
  const isPooled = buffer.byteLength <= Buffer.poolSize && !isWholeMemory(bytes)
  if (!isPooled && buffer instanceof ArrayBuffer) buffer.transfer(0)
}

/** The same where `bytes` are all of their memory, for pieces of unknown origin: others may hold the rest. */
export function giveBackWhole(bytes: Uint8Array): void {
  if (isWholeMemory(bytes)) giveBack(bytes)
}

/** Whether `bytes` are all of the memory that they lie in, so that nothing else can be in it. */
export function isWholeMemory({ byteLength, buffer }: Uint8Array): boolean {
  return byteLength === buffer.byteLength
}
