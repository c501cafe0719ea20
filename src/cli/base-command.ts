/** What all commands share. */
import { Command } from '@oclif/core'

export abstract class BaseCommand extends Command {
  /** Commands return nothing: they print through `output.ts`, so that `--json` is theirs alone. */
  abstract override run(): Promise<void>
}
