import { join } from 'node:path'
import { Flags } from '@oclif/core'
import { BaseCommand } from '../src/cli/base-command.ts'
import { CommandFailedError } from '../src/cli/errors.ts'
import { withStopSignal } from '../src/cli/stop-signals.ts'

export default class Demo extends BaseCommand {
  static override summary = 'See two sites replicate real files, through a crash.'

  static override description =
    'Starts sites A and B as processes of their own in a temporary folder, uploads, overwrites, ' +
    'deletes and purges files at A, kills B in the middle and starts it again, then compares both ' +
    'sites object by object. The last line says whether they are equal. Ctrl-C leaves no process ' +
    'and no folder behind.'

  static override examples = [
    '<%= config.bin %> demo',
    '<%= config.bin %> demo --keep',
    '<%= config.bin %> demo --quick',
  ]

  static override flags = {
    keep: Flags.boolean({ summary: 'Leave both sites running, and print what to try with them.' }),
    quick: Flags.boolean({ summary: 'Take a fraction of the files and bytes: for slow disks.' }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(Demo)
    const { runDemo } = await import('../src/demo/run-demo.ts')
    const { ok } = await withStopSignal((signal) =>
      runDemo({
        keep: flags.keep,
        quick: flags.quick,
        binPath: join(this.config.root, 'bin', 'comio'),
        projectRoot: this.config.root,
        stdout: process.stdout,
        stderr: process.stderr,
        signal,
      }),
    )
    if (!ok) throw new CommandFailedError('the demo did not end with two equal sites')
  }
}
