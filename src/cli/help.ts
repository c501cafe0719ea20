/** Help as a colleague would give it: what it is for, the flags, then examples to paste. */
import { CommandHelp, Help } from '@oclif/core'

class ComioCommandHelp extends CommandHelp {
  /** The summary stands above already. */
  protected override description(): string | undefined {
    const { description } = this.command
    return description === undefined ? undefined : this.wrap(description)
  }
}

const start = `Object storage at one site that arrives at the other: S3-compatible, one binary.

USAGE
  $ comio COMMAND [FLAGS]

START HERE
  $ comio demo                    see two sites replicate, crash and recover
  $ comio server                  run a site here, in ./comio-data
  $ curl -T FILE http://127.0.0.1:8080/mybucket/myfile
  $ comio repl status             see what has arrived at the other site
`

const end = `Add --help to any command for its flags and examples. The manual: man comio.
Exit codes: 0 done, 1 failed or different, 2 usage or configuration, 3 site
unreachable.`

export class ComioHelp extends Help {
  protected override CommandHelpClass = ComioCommandHelp

  protected override async showRootHelp(): Promise<void> {
    this.log(start)
    const commands = this.sortedCommands.map((command) => [
      command.id.replaceAll(':', ' '),
      command.summary,
    ])
    this.log(this.section('COMMANDS', this.renderList(commands, { indentation: 2 })))
    this.log('')
    this.log(end)
  }
}
