/**
 * The command line: argv in, exit code out. This layer promises that results alone reach stdout,
 * that every failure is one readable message with a code, and that heavy modules load only when a
 * command needs them. It knows the admin client and the configuration, never the engine.
 */
import type { Command, Config, Interfaces } from '@oclif/core'
import type { ComioError } from '../base/errors.ts'
import { nearestName } from '../config/nearest-name.ts'
import { OutputError, UsageError } from './errors.ts'
import { exitCodeOf, exitCodes } from './exit-codes.ts'
import { writeResult } from './output.ts'
import { isSilent, printError } from './print-error.ts'
import {
  type CommandFile,
  findCommandFile,
  findProgram,
  type ProgramPlace,
  packageForOclif,
  readPackage,
} from './program.ts'

/** Runs the command that `argv` (without program and script) asks for, and sets the exit code. */
export async function runCli(argv: readonly string[]): Promise<void> {
  endWhenOutputFails(argv)
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => process.exit(report(error, argv)))
  }
  process.exitCode = await runCommandLine(argv)
}

/** The same within a process that goes on: prints, and resolves to the exit code. Never throws. */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  try {
    await dispatch(argv)
    return exitCodes.done
  } catch (error) {
    return report(error, argv)
  }
}

/** Prints what went wrong, unless that was asked for, and gives the exit code that it means. */
function report(error: unknown, argv: readonly string[]): number {
  const json = beforeDoubleHyphen(argv).includes('--json')
  if (!isSilent(error)) printError(error, { json, debug: isDebugging() })
  return exitCodeOf(error)
}

function isDebugging(): boolean {
  return !['', '0', 'false', undefined].includes(process.env.DEBUG)
}

/**
 * `comio ... | head` closes the pipe early, which is no error. Of what stderr does not take nobody can be
 * told.
 */
function endWhenOutputFails(argv: readonly string[]): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(process.exitCode ?? exitCodes.done)
      if (stream === process.stderr) process.exit(exitCodes.failed)
      process.exit(report(new OutputError(error), argv))
    })
  }
}

async function dispatch(argv: readonly string[]): Promise<void> {
  const place = findProgram(import.meta.url)
  if (['--version', '-v', 'version'].includes(argv[0] ?? '')) {
    const { name, version } = await readPackage(place.root)
    writeResult(
      `${name} ${version} (Node ${process.versions.node}, ${process.platform} ${process.arch})`,
    )
    return
  }
  const help = helpRequest(argv)
  const asked = help === undefined ? findCommandFile(place, argv) : undefined
  if (asked !== undefined) {
    await runCommandFile(place, asked)
    return
  }
  const config = await loadOclif(await packageForOclif(place), place.root)
  await showHelp(config, help ?? argv)
}

async function loadOclif(pjson: Interfaces.PJSON, root: string): Promise<Config> {
  const { Config, settings } = await import('@oclif/core')
  // Node runs the sources itself; oclif must neither compile them nor look for them.
  settings.enableAutoTranspile = false
  return Config.load({ root, pjson })
}

/** Loads one command alone: asking oclif for it would load all of them first, for 80 ms. */
async function runCommandFile(place: ProgramPlace, asked: CommandFile): Promise<void> {
  const pjson = await packageForOclif(place)
  const { commands: _, ...oclif } = pjson.oclif
  const config = await loadOclif({ ...pjson, oclif }, place.root)
  const module = (await import(asked.url)) as { readonly default: Command.Class }
  module.default.id = asked.id
  await module.default.run([...asked.rest], config)
}

function beforeDoubleHyphen(argv: readonly string[]): readonly string[] {
  const end = argv.indexOf('--')
  return end === -1 ? argv : argv.slice(0, end)
}

/** The words that help is asked about, or undefined when it is not asked for. */
function helpRequest(argv: readonly string[]): readonly string[] | undefined {
  if (argv.length === 0) return []
  if (argv[0] === 'help') return argv.slice(1)
  const words = beforeDoubleHyphen(argv)
  const asked = words.some((word) => word === '--help' || word === '-h')
  return asked ? commandWords(words) : undefined
}

function commandWords(argv: readonly string[]): readonly string[] {
  const end = argv.findIndex((word) => word.startsWith('-'))
  return end === -1 ? argv : argv.slice(0, end)
}

/** @throws UsageError for what is neither a command nor a topic */
async function showHelp(config: Config, argv: readonly string[]): Promise<void> {
  const words = commandWords(argv)
  const id = words.join(':')
  const known = config.findCommand(id) ?? config.findTopic(id)
  if (argv.length > 0 && known === undefined) throw unknownCommand(config, words, argv[0] ?? '')
  const { ComioHelp } = await import('./help.ts')
  await new ComioHelp(config, { flagSortOrder: 'none' }).showHelp([...words])
}

function unknownCommand(config: Config, words: readonly string[], first: string): ComioError {
  if (words.length === 0) {
    const hint = 'Flags follow the command, as in comio server --port 9000.'
    return new UsageError(`a command must come before ${first.replace(/=.*$/s, '')}`, { hint })
  }
  const names = config.commandIDs.map((id) => id.replaceAll(':', ' '))
  const asked = words.slice(0, 3).join(' ')
  const near = nearestName(asked, names) ?? nearestName(words[0] ?? '', names)
  const hint =
    near === undefined ? 'comio --help lists the commands.' : `Did you mean comio ${near}?`
  return new UsageError(`there is no command "${asked}"`, { hint })
}
