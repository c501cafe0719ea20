/**
 * The log of a site: pino behind the `Logger` port, one line per record on stdout, written before
 * the call returns, so that a killed process has said what it knew. Secrets are taken out twice: by
 * the name of the field, and, whatever the field, by their own value.
 */
import {
  type DestinationStream,
  destination,
  type Logger as PinoLogger,
  pino,
  stdTimeFunctions,
} from 'pino'
import type { Logger } from '../../base/log.ts'
import type { LogFormat, LogLevel } from '../../config/server-config.ts'
import { describeError } from './describe-error.ts'
import { formatPrettyLine } from './pretty-line.ts'

export interface LoggingOptions {
  readonly level: LogLevel
  readonly format: LogFormat
  /** Never to be seen in a line, wherever it came from. The list may grow meanwhile. */
  readonly secrets: readonly string[]
  /** Takes each finished line, its newline included; stdout when absent. */
  readonly write?: (line: string) => void
  /** For the pretty format; a terminal's business. */
  readonly colours: boolean
}

/** Characters that wait while the log cannot be written; beyond, lines are lost. */
const unwrittenMax = 2 ** 20

const secretFields = ['authorization', 'token', 'remoteToken', 'remote_token', 'ticket']

export function createLogger(options: LoggingOptions): Logger {
  const root = pino(
    {
      level: options.level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: secretFields.flatMap((name) => [name, `*.${name}`]), censor: '[hidden]' },
      serializers: { error: describeError, err: describeError },
    },
    lineStream(options),
  )
  return portOver(root)
}

/** pino wants the message last as well, but types it as format arguments. */
function portOver(logger: PinoLogger): Logger {
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    child: (fields) => portOver(logger.child(fields)),
  }
}

function lineStream(options: LoggingOptions): DestinationStream {
  const write = options.write ?? stdoutWriter()
  let known = options.secrets.length
  let hidden = hiddenFormsOf(options.secrets)
  return {
    write(line) {
      if (known !== options.secrets.length) {
        known = options.secrets.length
        hidden = hiddenFormsOf(options.secrets)
      }
      let safe = line
      for (const secret of hidden) {
        if (safe.includes(secret)) safe = safe.replaceAll(secret, '[hidden]')
      }
      write(options.format === 'pretty' ? formatPrettyLine(safe, options.colours) : safe)
    },
  }
}

function hiddenFormsOf(secrets: readonly string[]): readonly string[] {
  // Short values would tear ordinary words out of the log; such a token protects nothing anyway.
  const long = secrets.filter((secret) => secret.length >= 8)
  return long.flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)])
}

function stdoutWriter(): (line: string) => void {
  // It waits for a slow pipe, and goes silent when whoever read it has gone.
  const stream = destination({ fd: 1, sync: true, maxLength: unwrittenMax })
  // A full disk under the log is no reason to stop serving. There is nobody to tell: what cannot be
  // written waits, as far as it may, for the next line that can.
  stream.on('error', () => undefined)
  return (line) => {
    stream.write(line)
  }
}
