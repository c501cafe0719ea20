/** The log of an HTTP thread: its lines are the engine's thread's to write. */
import type { LogFields, Logger } from '../../base/log.ts'
import { describeError } from '../logging/describe-error.ts'
import type { FromThread, LogLevel } from './messages.ts'

export function threadLogger(post: (message: FromThread) => void, own: LogFields = {}): Logger {
  const line =
    (level: LogLevel) =>
    (fields: LogFields, message: string): void => {
      post({ kind: 'log', level, fields: plain({ ...own, ...fields }), message })
    }
  return {
    debug: line('debug'),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
    child: (fields) => threadLogger(post, { ...own, ...fields }),
  }
}

/** What can be sent: errors as the log has them, everything else as JSON does. */
function plain(fields: LogFields): LogFields {
  return JSON.parse(
    JSON.stringify(fields, (_name, value: unknown) => {
      if (typeof value === 'bigint') return String(value)
      return describeError(value)
    }),
  ) as LogFields
}
