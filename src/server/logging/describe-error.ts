import { messageOf } from '../../base/errors.ts'

/** Messages, codes and causes; a stack only for what ComIO did not throw on purpose. */
export function describeError(thrown: unknown): unknown {
  if (!(thrown instanceof Error)) return thrown
  const code = 'code' in thrown ? String(thrown.code) : undefined
  const cause = thrown.cause === undefined ? '' : ` (${messageOf(thrown.cause)})`
  const text = `${thrown.message}${cause}`
  return code === undefined ? (thrown.stack ?? text) : `${code}: ${text}`
}
