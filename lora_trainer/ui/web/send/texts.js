// What is said when pictures are sent here.
import { texts } from "../base/texts.js";

export const t = texts({
    send_here: ["Send to LoRA Trainer: pictures with their prompts as captions", "LoRA Trainer로 보내기: 프롬프트를 캡션으로 하여 이미지를 보냅니다"],
    send_title: ["Train with these pictures", "이 이미지로 학습하기"],
    nothing_there: ["There is no picture in the gallery yet.", "갤러리에 아직 이미지가 없습니다."],
    nothing_taken: ["None of the pictures could be taken over.", "가져올 수 있는 이미지가 없습니다."],
    taking: ["Taking over picture {x} of {all}…", "이미지 가져오는 중: {all}장 중 {x}번째…"],
    take_others: ["Show the rest of the gallery ({x})", "갤러리의 나머지 이미지 {x}장도 표시"],
    not_fetched: ["This picture is not there any more.", "이 이미지가 더 이상 없습니다."],
    not_taken: ["Not taken over:", "가져오지 않음:"],
    caption_of: ["Caption of {x}", "{x}의 캡션"],
    no_prompt: ["This picture says no prompt. Describe it here, or leave it empty.", "이 이미지에는 프롬프트가 없습니다. 여기에 설명을 적거나 비워 두세요."],
    is_grid: ["A grid of several pictures, which is rarely good for training.", "여러 이미지를 이어 붙인 그리드입니다. 학습에는 대개 맞지 않습니다."],
    captions_hint: ["The captions are the prompts without LoRAs and weights. What you add here the LoRA will connect with its words.", "캡션은 LoRA 태그와 가중치를 뺀 프롬프트입니다. 여기에 적은 내용이 LoRA의 단어와 연결됩니다."],
    into: ["Put them into", "넣을 곳"],
    into_images: ["the training pictures", "학습 이미지"],
    into_images_of: ["the training pictures of {x}", "{x}의 학습 이미지"],
    into_reg: ["the regularisation pictures", "정규화 이미지"],
    into_reg_of: ["the regularisation pictures of {x}", "{x}의 정규화 이미지"],
    into_concept: ["a new concept of this training", "이 학습의 새 콘셉트"],
    into_dataset: ["a new data set, not in the form", "새 데이터 세트 (설정에는 넣지 않음)"],
    reg_hint: ["Regularisation pictures show the class, not your subject.", "정규화 이미지에는 학습 대상이 아니라 클래스가 담겨 있어야 합니다."],
    words_hint: ["This concept is trained with its words alone: the captions are kept, but not used.", "이 콘셉트는 단어만으로 학습합니다. 캡션은 저장되지만 쓰이지 않습니다."],
    add_pictures: ["Add {x} {x:picture|pictures}", "이미지 {x}장 추가"],
    added: ["{x} {x:picture|pictures} added", "이미지 {x}장을 추가했습니다"],
});
