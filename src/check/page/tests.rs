//! Pages of legal and illegal histories, of each model.

use std::path::Path;

use super::*;
use crate::check::history::{Expected, read};
use crate::check::{Flags, format, verdict};

/// What is drawn of a text, in the format that it looks like.
fn drawn(text: &str) -> String {
    let flags = Flags {
        paths: Vec::new(),
        model: None,
        format: None,
        initial: None,
        budget: None,
        html: None,
        json: false,
    };
    let mut reader = text.as_bytes();
    let format = format::recognised(&mut reader).unwrap();
    let history = read(format, reader, Expected::default()).unwrap();
    let verdict = verdict(Path::new("a <b>.log"), &history, &flags);
    let mut page = String::new();
    section(&mut page, 0, &Drawing::of(&history, &verdict));
    page
}

fn count(page: &str, what: &str) -> usize {
    page.matches(what).count()
}

/// The name of a row.
fn who(row: &str) -> String {
    format!("<div class=\"who\" title=\"{row}\">{row}</div>")
}

const LEGAL: &str = "INFO  jepsen.util - 0\t:invoke\t:write\t1\nINFO  jepsen.util - 1\t:invoke\t:read\tnil\n\
                     INFO  jepsen.util - 0\t:ok\t:write\t1\nINFO  jepsen.util - 1\t:ok\t:read\t1\n\
                     INFO  jepsen.util - 2\t:invoke\t:cas\t[1 2]\nINFO  jepsen.util - 2\t:info\t:cas\t:timed-out\n";

#[test]
fn a_legal_history_has_a_row_for_each_process_and_a_bar_for_each_operation() {
    let page = drawn(LEGAL);
    assert!(page.contains("<h1>a &lt;b&gt;.log</h1>"), "{page}");
    assert!(page.contains("<strong class=\"ok\">ok</strong> 3 operations, register"), "{page}");
    for row in ["process 0", "process 1", "process 2"] {
        assert_eq!(count(&page, &who(row)), 1, "{page}");
    }
    assert_eq!(
        (count(&page, "class=\"bar known\""), count(&page, "class=\"bar open open\"")),
        (2, 1),
        "{page}"
    );
    assert!(page.contains("title=\"read\n1\nprocess 1, lines 2 to 4\">read &rarr; 1</div>"), "{page}");
    assert!(!page.contains("are drawn") && !page.contains("contradicts"), "{page}");
}

#[test]
fn an_illegal_history_shows_in_colour_what_contradicts_itself() {
    let stale = "INFO  jepsen.util - 3\t:invoke\t:read\tnil\nINFO  jepsen.util - 3\t:ok\t:read\t2\n\
                 INFO  jepsen.util - 3\t:invoke\t:read\tnil\nINFO  jepsen.util - 3\t:ok\t:read\t1\n";
    let page = drawn(&format!("{LEGAL}{stale}"));
    assert!(page.contains("<strong class=\"illegal\">illegal</strong>"), "{page}");
    assert!(page.contains("Nothing explains line 10; before it, 4 operations can be ordered."), "{page}");
    assert_eq!(count(&page, "class=\"bar unexplained\""), 1, "{page}");
    let contradicts = count(&page, "class=\"bar contradicts\"");
    assert!(contradicts >= 1, "{page}");
    // Each of them is told in words too, and leads to its bar.
    assert_eq!(count(&page, "<li><a href=\"#h0-"), contradicts + 1, "{page}");
    for link in page.split("<a href=\"#").skip(1) {
        let id = link.split('"').next().unwrap();
        assert_eq!(count(&page, &format!("id=\"{id}\"")), 1, "{id}: {page}");
    }
}

#[test]
fn whatever_a_history_says_is_text_on_its_page() {
    let text = "{:process 0, :type :invoke, :f :put, :key \"<i>\", :value \"<script>alert('1')</script>\\\"&\"}\n\
                {:process 0, :type :ok, :f :put, :key \"<i>\", :value nil}\n\
                {:process 0, :type :invoke, :f :get, :key \"<i>\", :value nil}\n\
                {:process 0, :type :ok, :f :get, :key \"<i>\", :value \"</div>\"}\n";
    let page = drawn(text);
    assert!(page.contains("illegal"), "{page}");
    assert!(!page.contains("<script") && !page.contains("<i>") && !page.contains("\"</div>"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;"), "{page}");
    assert!(page.contains("&lt;/div&gt;"), "{page}");
}

#[test]
fn where_there_are_many_processes_those_of_whom_one_comes_after_the_other_share_a_row() {
    let mut text = String::new();
    let mut write = |processes: std::ops::Range<usize>| {
        for (process, kind) in processes.flat_map(|process| [(process, "invoke"), (process, "ok")]) {
            text += &format!("{{:process {process} :type :{kind} :f :write :value {process}}}\n");
        }
        drawn(&text)
    };
    let page = write(0..16);
    assert_eq!((count(&page, "class=\"row\""), count(&page, &who("process 15"))), (16, 1), "{page}");
    let page = write(16..18);
    assert_eq!((count(&page, "class=\"row\""), count(&page, "<div class=\"bar ")), (1, 18), "{page}");
    assert!(page.contains("title=\"process 0, 1, 2, 3,"), "{page}");
}

/// Lines of our own for so many puts of one key, one after the other.
fn puts(count: u64) -> String {
    let mut text = "{\"type\":\"history\",\"format\":1,\"model\":\"etcd\"}\n".to_owned();
    for number in 0..count {
        let (session, revision) = (number % 5, number + 2);
        text += &format!(
            "{{\"type\":\"invoke\",\"operation\":{number},\"session\":{session},\"request\":{{\"put\":{{\"key\":\"YQ==\"}}}}}}\n\
             {{\"type\":\"ok\",\"operation\":{number},\"response\":{{\"put\":{{\"header\":{{\"revision\":\"{revision}\"}}}}}}}}\n"
        );
    }
    text
}

#[test]
fn of_a_long_history_what_is_around_the_contradiction_is_drawn_and_the_page_says_so() {
    let legal = puts(10_000);
    let page = drawn(&legal);
    assert!(page.contains("400 of 10,000 operations are drawn: what happened at first."), "{page}");
    let read = "{\"type\":\"invoke\",\"operation\":20000,\"session\":9,\"request\":{\"range\":{\"key\":\"Yg==\"}}}\n\
                {\"type\":\"ok\",\"operation\":20000,\"response\":{\"range\":{\"header\":{\"revision\":\"9999\"}}}}\n";
    let page = drawn(&format!("{legal}{read}"));
    assert!(
        page.contains("400 of 10,001 operations are drawn: what happened around those that contradict"),
        "{page}"
    );
    // They are drawn twice: alone, as links, and among the others.
    for element in ["a", "div"] {
        for class in ["unexplained", "contradicts"] {
            assert_eq!(count(&page, &format!("<{element} class=\"bar {class}\"")), 1, "{page}");
        }
    }
    assert_eq!((count(&page, "<a class=\"bar "), count(&page, "<div class=\"bar ")), (2, 400));
    assert!(count(&page, "class=\"break\"") >= 1 && count(&page, "<svg class=\"strip\"") == 1, "{page}");
    assert!(page.len() < 300_000, "{}", page.len());
}

#[test]
fn of_a_contradiction_of_very_many_operations_the_nearest_are_drawn() {
    let mut text = String::new();
    let mut operation = |process: usize, function: &str, value: &str, read: &str| {
        text += &format!("{{:process {process} :type :invoke :f :{function} :value {value}}}\n");
        text += &format!("{{:process {process} :type :ok :f :{function} :value {read}}}\n");
    };
    for number in 1..10_000 {
        operation(number % 5, "write", &number.to_string(), &number.to_string());
    }
    // What writes of any of these can have been the last is more than can be looked through.
    operation(1, "read", "nil", "1");
    let page = drawn(&text);
    assert_eq!(count(&page, "<div class=\"bar unexplained\""), 1);
    assert!(
        (2..=400).contains(&count(&page, "<div class=\"bar ")) && count(&page, "<li>") <= 41,
        "{}",
        page.len()
    );
    assert!(page.len() < 300_000, "{}", page.len());
}

#[test]
fn each_model_is_drawn() {
    let set = "[{:process 0 :type :invoke :f :add :value [7 1]} {:process 0 :type :ok :f :add :value [7 1]}\n\
               {:process 0 :type :invoke :f :add :value [8 1]} {:process 0 :type :ok :f :add :value [8 1]}\n\
               {:process 1 :type :invoke :f :read :value [7 nil]} {:process 1 :type :ok :f :read :value [7 []]}]";
    let page = drawn(set);
    assert!(page.contains("Of 7 alone"), "{page}");
    assert_eq!(
        (count(&page, "class=\"bar contradicts\""), count(&page, "class=\"bar unexplained\"")),
        (1, 1),
        "{page}"
    );
    assert_eq!(count(&page, "<div class=\"bar "), 2, "{page}");
    let lists = "{:process 0, :type :invoke, :f :txn, :value [[:append 9 1]]}\n{:process 0, :type :ok, :f :txn, :value [[:append 9 1]]}\n\
                 {:process 1, :type :invoke, :f :txn, :value [[:r 9 nil]]}\n{:process 1, :type :ok, :f :txn, :value [[:r 9 []]]}\n";
    let page = drawn(lists);
    assert!(page.contains("append 9 1 &rarr; ok") && page.contains("read 9 &rarr; []"), "{page}");
    assert_eq!(count(&page, "class=\"bar unexplained\""), 1, "{page}");
}

const HEAD: &str = "{\"type\":\"history\",\"format\":1,\"model\":\"etcd\"}\n\
    {\"type\":\"invoke\",\"operation\":0,\"session\":3,\"request\":{\"put\":{\"key\":\"YQ==\",\"value\":\"MQ==\"}}}\n\
    {\"type\":\"ok\",\"operation\":0,\"response\":{\"put\":{\"header\":{\"revision\":\"2\"}}}}\n";

#[test]
fn of_etcd_operations_are_drawn_and_the_watch_that_told_what_cannot_be() {
    let read = "{\"type\":\"invoke\",\"operation\":1,\"session\":4,\"request\":{\"range\":{\"key\":\"YQ==\"}}}\n\
                {\"type\":\"ok\",\"operation\":1,\"response\":{\"range\":{\"header\":{\"revision\":\"1\"}}}}\n\
                {\"type\":\"invoke\",\"operation\":2,\"session\":5,\"request\":{\"put\":{\"key\":\"Yg==\"}}}\n\
                {\"type\":\"fail\",\"operation\":2,\"error\":\"no-space\"}\n";
    let page = drawn(&format!("{HEAD}{read}"));
    assert!(page.contains("linearizable history/real-time order: Range after Put"), "{page}");
    assert!(page.contains(&who("session 3")), "{page}");
    assert!(page.contains("Put &quot;a&quot;=&quot;1&quot; &rarr; revision 2</div>"), "{page}");
    assert!(page.contains("Range &quot;a&quot; &rarr; revision 1: nothing</div>"), "{page}");
    assert_eq!(
        (count(&page, "class=\"bar contradicts\""), count(&page, "class=\"bar unexplained\"")),
        (1, 1),
        "{page}"
    );
    assert_eq!(count(&page, "class=\"bar refused\""), 1, "{page}");
    let watch = "{\"type\":\"watch\",\"watch\":0,\"request\":{\"key\":\"YQ==\",\"start_revision\":\"2\"}}\n\
                 {\"type\":\"watch\",\"watch\":1,\"request\":{\"key\":\"YQ==\",\"start_revision\":\"2\"}}\n\
                 {\"type\":\"heard\",\"watch\":1,\"response\":{\"header\":{\"revision\":\"2\"},\"created\":true}}\n\
                 {\"type\":\"heard\",\"watch\":1,\"response\":{\"header\":{\"revision\":\"2\"},\"events\":[{\"kv\":\
                 {\"key\":\"YQ==\",\"value\":\"Mg==\",\"create_revision\":\"2\",\"mod_revision\":\"2\",\"version\":\"1\"}}]}}\n";
    let page = drawn(&format!("{HEAD}{watch}"));
    assert!(page.contains("<strong class=\"illegal\">"), "{page}");
    assert_eq!(count(&page, &who("watch 1")), 1, "{page}");
    assert_eq!(count(&page, &who("watch 0")), 0, "{page}");
    assert_eq!(count(&page, "class=\"bar unexplained\""), 1, "{page}");
    assert!(
        page.contains("1 event &rarr; revision 2; 1 event; &quot;a&quot;=&quot;2&quot; of 2, version 1"),
        "{page}"
    );
}
