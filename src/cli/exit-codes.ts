/** What the shell learns. This file alone decides it. */
import { AdminRequestError } from '../admin/client-errors.ts'
import { ComioError } from '../base/errors.ts'

export const exitCodes = {
  done: 0,
  /** It was tried and failed, or two things that should be equal differ. */
  failed: 1,
  /** The command line or the configuration is wrong: nothing was tried. */
  usage: 2,
  /** Nobody answers at the site's address. */
  unreachable: 3,
  /** Somebody stopped it before it was done, by Ctrl-C or a signal: as shells say of Ctrl-C. */
  stopped: 130,
} as const

/** Errors that say: what you asked for cannot be, ask for something else. */
const usageErrorCodes: ReadonlySet<string> = new Set([
  'USAGE',
  'CONFIG_INVALID',
  'ADDRESS_IN_USE',
  'LISTEN_FAILED',
  'UNPROTECTED_LISTENER',
  'TLS_FILES',
  'STORAGE_PATH',
  'DEVICE_FOREIGN',
  'VOLUME_IN_USE',
  'INDEX_IN_USE',
  'INDEX_OPEN_FAILED',
  'CAPACITY_TOO_SMALL',
  'SITE_ID_MISMATCH',
  'BAD_REMOTE_URL',
  'PLAINTEXT_REFUSED',
  'S3_BAD_ADDRESS',
  'BENCH_BUCKET_IN_USE',
])

const unreachableErrorCodes: ReadonlySet<string> = new Set(['SITE_UNREACHABLE', 'S3_UNREACHABLE'])

/** Errors of the command line parser carry the code they want. */
function parserExitCode(thrown: unknown): number | undefined {
  if (typeof thrown !== 'object' || thrown === null || !('oclif' in thrown)) return undefined
  const { oclif } = thrown
  if (typeof oclif !== 'object' || oclif === null || !('exit' in oclif)) return undefined
  return typeof oclif.exit === 'number' ? oclif.exit : undefined
}

export function exitCodeOf(thrown: unknown): number {
  if (!(thrown instanceof ComioError)) return parserExitCode(thrown) ?? exitCodes.failed
  // The code is the site's own word then, and says nothing about this command line.
  if (thrown instanceof AdminRequestError) return exitCodes.failed
  if (thrown.code === 'STOPPED') return exitCodes.stopped
  if (unreachableErrorCodes.has(thrown.code)) return exitCodes.unreachable
  return usageErrorCodes.has(thrown.code) ? exitCodes.usage : exitCodes.failed
}
