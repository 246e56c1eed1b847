using Distributed.Engine.Generation;
using Distributed.Worker.Options;
using Distributed.Worker.Output;
using Distributed.Worker.Prompts;

namespace Distributed.Worker.Running;

/// <summary>Answers dialogs, from a file or typed.</summary>
internal sealed class ChatCommand(RunOptions options, OptionValues values) : GenerationCommand(options)
{
    private readonly List<DialogInput> _dialogs = []; // empty: the user types

    private bool IsOneQuestion => _dialogs.Count == 1 && values.Has(OptionCatalog.Prompt);

    private string? SystemMessage => values[OptionCatalog.System]?.Last;

    public override void ReadInputs(Preparation? preparation, List<string> problems)
    {
        var before = problems.Count;
        if (values[OptionCatalog.DialogsFile] is { } file && UserText.ReadFile(file.Last, OptionCatalog.DialogsFile, problems) is { } text)
        {
            Add(text, file.Last, problems);
        }

        if (values[OptionCatalog.Dialogs] is { } given)
        {
            Add(given.Last, given.Source, problems);
        }

        foreach (var prompt in values[OptionCatalog.Prompt]?.Values ?? [])
        {
            _dialogs.Add(new DialogInput([.. InteractiveChat.Opening(SystemMessage), new ChatMessage(ChatMessage.User, prompt)]));
        }

        if (Options.Format == OutputFormat.Json && _dialogs.Count == 0 && problems.Count == before)
        {
            problems.Add($"--format json needs dialogs; name a --{OptionCatalog.DialogsFile} or a --{OptionCatalog.Prompt}.");
        }

        if (preparation is not null)
        {
            Check(preparation, problems);
        }
    }

    public override void Lead(LeaderSession session)
    {
        if (session.Preparation.ChatTemplate?.Warning(session.Preparation.ChatFormat) is { } warning)
        {
            Console.Error.WriteLine(warning);
        }

        if (_dialogs.Count == 0)
        {
            new InteractiveChat(session, SystemMessage).Run();
            session.PrintFigures();
            return;
        }

        session.Run(
            _dialogs,
            IsOneQuestion ? [new RowFrame("", "\n")] : [.. _dialogs.Select(dialog => dialog.Frame)],
            (batch, options, onUpdate) => session.Generator.CompleteChat([.. batch.Select(dialog => dialog.Messages)], options, onUpdate));
    }

    private void Add(string text, string name, List<string> problems)
        => _dialogs.AddRange(DialogJson.Parse(text, name, problems).Select(messages => new DialogInput(messages)));

    private void Check(Preparation preparation, List<string> problems)
    {
        foreach (var (index, dialog) in _dialogs.Index())
        {
            try
            {
                if (preparation.ChatFormat.HasSpecialTags(dialog.Messages))
                {
                    continue; // answered, not run
                }

                var tokens = preparation.ChatFormat.Encode(dialog.Messages, preparation.Tokenizer);
                if (preparation.Limits.Problem($"Dialog {index + 1}", tokens) is { } problem)
                {
                    problems.Add(problem);
                }
            }
            catch (GenerationException exception)
            {
                problems.Add($"Dialog {index + 1}: {exception.Message}");
            }
        }
    }
}
