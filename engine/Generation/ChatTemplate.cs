using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Generation;

/// <summary>
/// The chat template that comes with a tokenizer: a program in Jinja, which is never run. One of the known ones, told by the hash of its text,
/// says which <see cref="ChatFormat"/> the model was taught; of another one only its hash is said.
/// </summary>
public sealed class ChatTemplate
{
    private const int MaxByteCount = 4 << 20;
    private const string TemplateName = "chat_template.jinja";

    // SHA-256 of the texts as public repositories carry them (that of Mistral v0.1 is derived from its description), without a line end behind them.
    private static readonly Dictionary<string, Family> Known = new(StringComparer.Ordinal)
    {
        ["153280e3ff55d19da1398bdb3914ee2a51b80429bfaedde11d7d216c39db80f3"] = Family.ChatML, // OpenHermes, SmolLM
        ["793202280c0910ab26bc6eb57c8212c2417324c6d8c4efd0d10d59092ab3e3eb"] = Family.Qwen2, // Qwen2
        ["7a2fad4301dcce93b13747dfd6ee5fa696dc12de86b85b86344bea8f649022b3"] = Family.Qwen15, // Qwen1.5
        ["872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788"] = Family.SmolLM2, // SmolLM2
        ["a18cc698dd45623eb707279d08e66f7bb8d76afc89ead84016b88487b395b5cc"] = Family.Qwen25, // Qwen2.5
        ["2df317a15cbc983d9602cc391d33be17237d47ec7eb11ead80fae277143958aa"] = Family.Qwen3, // Qwen3
        ["b48c47f6443892716176eb200bf4ef108f64e06ca26ed0fa8ebc0a4b3992fcb2"] = Family.Llama3, // Llama 3 at its release
        ["ba03a121d097859c7b5b9cd03af99aafe95275210d2876f642ad9929a150f122"] = Family.Llama3, // Llama 3
        ["99799a835a31e1d33c4a9c7ee8a0de3923b291a95155ed6dc8efcbd0fe1d0238"] = Family.Llama31, // Llama 3.1 and 3.3
        ["0cac23ffd2b33ff7b039e17ee143a080053318146fdc788f1d49ed4745aa8683"] = Family.Llama32, // Llama 3.2
        ["9780fae5bfea3cfd7be37d328c6edfd296a8869be8131495bbe7eb37e780c88c"] = Family.Llama2, // Llama 2
        ["5e53c989e0be846d15684f709272441562fff0321d7d47693d54c0f0ed9f4822"] = Family.Llama2, // Llama 2, with system turns
        ["26a59556925c987317ce5291811ba3b7f32ec4c647c400c6cc7e3a9993007ba7"] = Family.Mistral, // Mistral 7B Instruct v0.2
        ["7e995b379ec01747807246483647cd99030abf331653f1119e16d7ac041a3495"] = Family.Mistral, // Mistral 7B Instruct v0.1
        ["1c6594f8393552ef16bbf3ddecb67d8258fb8d66339a1a092a8f8496061f02d3"] = Family.Mistral, // Mistral 7B Instruct v0.2, with system messages
        ["1127255163dd25a2fd472f9901035aa9e78dc77ca33efdd010f5c8ea87e5d436"] = Family.Mistral, // Mistral Nemo (v3, Tekken)
        ["9074ed36d7503f0f63bd70ef4a0db1e12ec90718aef446404917f5ee3216e2f3"] = Family.Mistral, // Mistral Large 2407 (v3)
        ["3c4ad5fa60dd8c7ccdf82fa4225864c903e107728fcaf859fa6052cb80c92ee9"] = Family.MistralV7, // Mistral Large 2411 (v7)
        ["f1c7877e0d732dc1348f22f722e6454638d895bd78ae57a6f0b419258e492c20"] = Family.MistralV7, // Mistral Small 3 2501 (v7, Tekken), without its system message
        ["2d515b34f09a7acf04d1c5c836553bf21057f9494af393d49a0ca3c697d3c17b"] = Family.MistralSmall3, // Mistral Small 3 2501 (v7, Tekken)
        ["795ba6276beff6e84e75213f77a7e7fff71b6c587618a6ed43c1f90c2ad2334a"] = Family.DeepSeekR1, // DeepSeek-R1-Distill-Qwen and -Llama
        ["1546232b56f9c33a5d7fcdc270b0014d67dff9c3df06737f091a4a7dee729c3a"] = Family.DeepSeek, // the same as first published
        ["66291cf0045c2425a3a667cf3cbb7af2b11f09e025c02f97245323ab79119362"] = Family.Zephyr, // Zephyr, TinyLlama-Chat
    };

    private readonly string _text;

    private ChatTemplate(string path, string text)
    {
        _text = text;
        Path = path;
        Sha256 = HashOf(text);
    }

    private enum Family
    {
        ChatML,
        DeepSeek,
        DeepSeekR1,
        Llama2,
        Llama3,
        Llama31,
        Llama32,
        Mistral,
        MistralSmall3,
        MistralV7,
        Qwen15,
        Qwen2,
        Qwen25,
        Qwen3,
        SmolLM2,
        Zephyr,
    }

    /// <summary>The file that has it.</summary>
    public string Path { get; }

    /// <summary>Of its text in UTF-8, <c>\n</c> written as a line feed and without one behind it, in lower case.</summary>
    public string Sha256 { get; }

    /// <summary>Whether it is one of the known ones, to the letter.</summary>
    public bool IsKnown => IsKnownHash(Sha256);

    /// <summary>
    /// The template beside a tokenizer, in chat_template.jinja or tokenizer_config.json; <see langword="null"/> where there is none, or none that
    /// can be read.
    /// </summary>
    public static ChatTemplate? Find(string tokenizerPath)
    {
        ArgumentNullException.ThrowIfNull(tokenizerPath);
        var folder = System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(tokenizerPath))!; // a file is in a folder
        var (template, config) = (System.IO.Path.Combine(folder, TemplateName), System.IO.Path.Combine(folder, TokenizerConfig.Name));
        try
        {
            if (new FileInfo(template) is { Exists: true, Length: <= MaxByteCount })
            {
                return new ChatTemplate(template, File.ReadAllText(template));
            }

            return TokenizerConfig.Beside(tokenizerPath)?.ChatTemplate() is { } text ? new ChatTemplate(config, text) : null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or JsonException or InvalidOperationException)
        {
            return null; // it says nothing that is needed
        }
    }

    /// <summary>A sentence for the user where dialogs in <paramref name="format"/> are likely not what the template makes of them; else <see langword="null"/>.</summary>
    public string? Warning(ChatFormat format) => Remark(format) is (true, var message) ? message : null;

    /// <summary>What a user should know of it where dialogs are written in <paramref name="format"/>; <see langword="null"/> for nothing.</summary>
    /// <param name="format">The format that was chosen.</param>
    /// <returns>A note where it has the format's marks but is not known, a warning where it has not.</returns>
    internal (bool IsWarning, string Message)? Remark(ChatFormat format)
    {
        var hasMarks = format.TemplateMarks.All(mark => _text.Contains(mark, StringComparison.Ordinal));
        if (IsKnown && hasMarks)
        {
            return null;
        }

        var name = IsKnown
            ? $"{Path} has a chat template whose marks the tokenizer lacks"
            : $"{Path} has a chat template that is not known (SHA-256 {Sha256[..16]}...) and is not run";
        return hasMarks
            ? (false, $"{name}; it has {format.Name}'s marks, and dialogs are written in that format, without the system message that it may add.")
            : (true, $"{name}, and it lacks {format.Name}'s marks, in which dialogs are written; answers may be poor: use worker complete with prompts in the model's own form.");
    }

    /// <summary>
    /// The format that a known template stands for; <see langword="null"/> for another one, and where the tokenizer lacks the format's marks.
    /// </summary>
    internal ChatFormat? ToFormat(Tokenizer tokenizer, bool enableThinking) => FormatOf(Sha256, tokenizer, enableThinking, TimeProvider.System);

    /// <summary>Whether a template of this hash is known.</summary>
    internal static bool IsKnownHash(string hash) => Known.ContainsKey(hash);

    /// <inheritdoc cref="ToFormat"/>
    internal static ChatFormat? FormatOf(string hash, Tokenizer tokenizer, bool enableThinking, TimeProvider time)
    {
        if (!Known.TryGetValue(hash, out var family))
        {
            return null;
        }

        var (isChatML, isLlama3) = (tokenizer.SpecialId(ChatMLFormat.Begin) >= 0, tokenizer.SpecialId(Llama3ChatFormat.BeginHeader) >= 0);
        var isMistralV7 = tokenizer.SpecialId(MistralV7ChatFormat.BeginSystem) >= 0;
        return family switch
        {
            Family.ChatML => isChatML ? new ChatMLFormat() : null,
            Family.SmolLM2 => isChatML ? new ChatMLFormat("You are a helpful AI assistant named SmolLM, trained by Hugging Face") : null,
            Family.Qwen15 => isChatML ? new ChatMLFormat("You are a helpful assistant") : null,
            Family.Qwen2 => isChatML ? new ChatMLFormat("You are a helpful assistant.") : null,
            Family.Qwen25 => isChatML ? new ChatMLFormat("You are Qwen, created by Alibaba Cloud. You are a helpful assistant.") : null,
            Family.Qwen3 => isChatML ? new ChatMLFormat(enableThinking: enableThinking) : null,
            Family.Llama3 => isLlama3 ? new Llama3ChatFormat() : null,
            Family.Llama31 => isLlama3 ? new Llama3ChatFormat(() => Llama3ChatFormat.FixedDate) : null,
            Family.Llama32 => isLlama3 ? new Llama3ChatFormat(() => time.GetLocalNow().ToString("dd MMM yyyy", CultureInfo.InvariantCulture)) : null,
            Family.Mistral => new MistralChatFormat(tokenizer.SpecialId(MistralChatFormat.Begin) >= 0),
            Family.DeepSeekR1 => DeepSeekChatFormat.For(tokenizer, beginsThought: true),
            Family.DeepSeek => DeepSeekChatFormat.For(tokenizer, beginsThought: false),
            Family.MistralV7 => isMistralV7 ? new MistralV7ChatFormat() : null,
            Family.MistralSmall3 => isMistralV7
                ? new MistralV7ChatFormat(() => MistralV7ChatFormat.Small3(time.GetLocalNow().ToString("yyyy-MM-dd", CultureInfo.InvariantCulture)))
                : null,
            Family.Zephyr => new ZephyrChatFormat(),
            _ => new Llama2ChatFormat(),
        };
    }

    // Within a literal a line feed and its escape are the same, and publishers write either; one at the end is not printed.
    private static string HashOf(string text)
    {
        text = text.Replace("\\n", "\n", StringComparison.Ordinal);
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text.EndsWith('\n') ? text[..^1] : text)));
    }
}
