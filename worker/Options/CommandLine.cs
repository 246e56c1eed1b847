using System.CommandLine;
using System.CommandLine.Help;

namespace Distributed.Worker.Options;

/// <summary>What the command line says.</summary>
/// <param name="Command">
/// One of <see cref="OptionCatalog"/>'s; <see langword="null"/> where there is none, where its config cannot be read, or where
/// <paramref name="PrintHelp"/> is the answer.
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

        if (!commands.TryGetValue(result.CommandResult.Command, out var options))
        {
            var given = result.UnmatchedTokens.Count > 0 ? OptionReader.Shown(result.UnmatchedTokens[0]) : null;
            var problem = given is null
                ? $"Name a command: {OptionCatalog.CommandNames}; worker --help describes them."
                : $"'{given}' is no command: name {OptionCatalog.CommandNames}; worker --help describes them.";
            return new CommandLine(null, values, [problem], null);
        }

        var command = result.CommandResult.Command.Name;
        var problems = new List<string>();
        var unmatched = result.UnmatchedTokens;
        if (TakesFolder(command) && unmatched is [var folder] && !folder.StartsWith('-') && !arguments.Contains($"--{OptionCatalog.Model}"))
        {
            values.Add(OptionCatalog.Model, $"{command}:", [folder]);
            unmatched = [];
        }

        AddUnmatched(unmatched, command, problems);
        foreach (var (definition, option) in options)
        {
            if (result.GetResult(option) is not { Implicit: false } given)
            {
                continue;
            }

            List<string> texts = [.. given.Tokens.Select(token => token.Value)];
            if (texts.Count > 0 || definition.ValueName is null)
            {
                values.Add(definition.Name, $"--{definition.Name}", texts.Count > 0 ? texts : ["true"]);
                problems.AddRange(given.Errors.Select(error => error.Message));
            }
            else
            {
                problems.Add($"--{definition.Name} needs a value ({definition.ValueName}); worker {command} --help says which.");
            }
        }

        var isConfigRead = values[OptionCatalog.Config] is not { } config || ConfigFile.TryRead(config.Last, command, values, problems);
        return new CommandLine(isConfigRead ? command : null, values, problems, null); // without it, all that it might say seems to be missing
    }

    // worker doctor DIR, as one writes it.
    private static bool TakesFolder(string command) => command is OptionCatalog.Doctor or OptionCatalog.Inspect;

    private static void AddUnmatched(IReadOnlyList<string> tokens, string command, List<string> problems)
    {
        var options = tokens.Where(token => token.StartsWith('-')).ToArray();
        problems.AddRange(options.Select(
            option => $"'{OptionReader.Shown(option)}' is no option of {command}; worker {command} --help lists them."));
        if (options.Length == 0 && tokens.Count > 0) // beside an unknown option they are likely its value
        {
            problems.Add($"'{OptionReader.Shown(string.Join(' ', tokens))}' belongs to no option of {command}; put a text with spaces in quotes.");
        }
    }

    private static RootCommand Root(out Dictionary<Command, (OptionDefinition Definition, Option Option)[]> commands)
    {
        var root = new RootCommand(
            "One ranked process of a distributed Llama: start it with distrun (distrun --nproc-per-node 2 worker complete ...), or alone for "
            + "one rank. Options may be spelt with hyphens or underscores, --top-p 0.9, --top-p=0.9 or --top_p 0.9.");
        root.Directives.Clear();
        commands = [];
        (string Name, string Description)[] all =
        [
            (OptionCatalog.Complete, "Continue texts."),
            (OptionCatalog.Chat, "Answer dialogs in the model's format, from a file or typed."),
            (OptionCatalog.Serve, "Answer clients over HTTP, with OpenAI's API."),
            (OptionCatalog.Tokenize, "Turn JSON lines on standard input, {\"text\": ...} or {\"tokens\": [...]}, into lines with both and pieces."),
            (OptionCatalog.Convert, "Write a checkpoint in another layout, number of shards or type, or quantised."),
            (OptionCatalog.Inspect, "Say what a checkpoint is and list its tensors."),
            (OptionCatalog.Doctor, "Look at a checkpoint as loading would: its files, its tokenizer, the memory of a rank, the speed to expect."),
        ];
        foreach (var (name, description) in all)
        {
            var command = new Command(name, description) { TreatUnmatchedTokensAsErrors = false }; // a sentence of our own says it
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
