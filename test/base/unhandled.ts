/**
 * Runs `act` and resolves to the first rejection that nobody handles, which ends the program outside
 * of tests. Gives up after 10 s.
 */
export async function unhandledIn(act: () => unknown): Promise<unknown> {
  const others = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  const { promise, resolve, reject } = Promise.withResolvers<unknown>()
  const limit = setTimeout(() => reject(new Error('every rejection was handled')), 10_000)
  process.on('unhandledRejection', resolve)
  try {
    await act()
    return await promise
  } finally {
    clearTimeout(limit)
    process.off('unhandledRejection', resolve)
    for (const other of others) process.on('unhandledRejection', other)
  }
}
