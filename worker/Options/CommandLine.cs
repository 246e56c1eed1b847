using System.CommandLine;
using System.CommandLine.Help;

namespace Distributed.Worker.Options;

/// <summary>What the command line says.</summary>
/// <param name="Command">
/// One of <see cref="OptionCatalog"/>'s; <see langword="null"/> where there is none or where <paramref name="PrintHelp"/> is the answer.
/// </param>
/// <param name="Values">The options that were given, those of <c>--config</c> among them.</param>
/// <param name="Problems">A sentence for each mistake so far.</param>
/// <param name="PrintHelp">Prints the help or the version that was asked for.</param>
internal sealed record CommandLine(string? Command, OptionValues Values, List<string> Problems, Action? PrintHelp)
{
    /// <summary>Reads the arguments of the process. Each option has two spellings, <c>--a-b</c> and Meta's <c>--a_b</c>.</summary>
    public static CommandLine Parse(string[] arguments)
    {
        var root = Root(out var commands);
        // Prompts are texts: an @ at their begin is no response file.
        var result = root.Parse(arguments, new ParserConfiguration { EnablePosixBundling = false, ResponseFileTokenReplacer = null });
        var values = new OptionValues();
        if (result.Action is HelpAction || result.GetResult(root.Options.OfType<VersionOption>().Single()) is not null)
        {
            return new CommandLine(null, values, [], () => result.Invoke());
        }

        var problems = result.Errors.Select(error => error.Message).ToList();
        if (!commands.TryGetValue(result.CommandResult.Command, out var options))
        {
            problems.Add("Name a command: complete, chat or tokenize; worker --help describes them.");
            return new CommandLine(null, values, problems, null);
        }

        foreach (var (definition, option) in options)
        {
            if (result.GetResult(option) is { Implicit: false } given)
            {
                List<string> texts = [.. given.Tokens.Select(token => token.Value)];
                values.Add(definition.Name, $"--{definition.Name}", texts.Count > 0 ? texts : ["true"]);
            }
        }

        var command = result.CommandResult.Command.Name;
        if (values[OptionCatalog.Config] is { } config)
        {
            ConfigFile.Read(config.Last, command, values, problems);
        }

        return new CommandLine(command, values, problems, null);
    }

    private static RootCommand Root(out Dictionary<Command, (OptionDefinition Definition, Option Option)[]> commands)
    {
        var root = new RootCommand(
            "One ranked process of a distributed Llama: start it with distrun (distrun --nproc-per-node 2 worker complete ...), or alone for "
            + "a checkpoint of one shard. Options may be spelt with hyphens or underscores, --top-p 0.9, --top-p=0.9 or --top_p 0.9.");
        root.Directives.Clear();
        commands = [];
        (string Name, string Description)[] all =
        [
            (OptionCatalog.Complete, "Continue texts."),
            (OptionCatalog.Chat, "Answer dialogs in Llama-2-chat's format, from a file or typed."),
            (OptionCatalog.Tokenize, "Turn JSON lines on standard input, {\"text\": ...} or {\"tokens\": [...]}, into lines with both and pieces."),
        ];
        foreach (var (name, description) in all)
        {
            var command = new Command(name, description);
            var options = OptionCatalog.Of(name).Where(option => !option.ConfigOnly).Select(option => (option, ToOption(option))).ToArray();
            foreach (var (_, option) in options)
            {
                command.Options.Add(option);
            }

            commands.Add(command, options);
            root.Subcommands.Add(command);
        }

        return root;
    }

    private static Option ToOption(OptionDefinition definition)
    {
        var names = (string[])(definition.UnderscoreName == definition.Name ? [] : [$"--{definition.UnderscoreName}"]);
        return definition.ValueName is { } valueName
            ? new Option<string[]>($"--{definition.Name}", names)
            {
                Description = definition.Description,
                HelpName = valueName,
                Arity = ArgumentArity.OneOrMore,
                AllowMultipleArgumentsPerToken = false,
            }
            : new Option<string>($"--{definition.Name}", names)
            {
                Description = definition.Description,
                HelpName = "true|false",
                Arity = ArgumentArity.ZeroOrOne,
            };
    }
}
